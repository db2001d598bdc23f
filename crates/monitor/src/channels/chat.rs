//! Messages for chats.

use super::message::Message;
use serde_json::{Value, json};

/// Text alone: other chats that take Slack's requests know none of its blocks.
pub(super) fn slack(message: &Message) -> Value {
    let mut text = format!("*{}*\n{}", mark(&message.subject), mark(&message.sentence));
    for (name, value) in &message.facts {
        text.push_str(&format!("\n• {}: {}", mark(name), mark(value)));
    }
    if let Some(more) = &message.more {
        text.push_str(&format!("\n{}", mark(more)));
    }
    if let Some((words, url)) = &message.link {
        text.push_str(&format!("\n<{}|{}>", mark(url), mark(words)));
    }
    json!({"text": text})
}

/// Slack reads links, mentions and commands between angle brackets.
fn mark(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An adaptive card, as workflows of Teams take it.
pub(super) fn teams(message: &Message) -> Value {
    let fact = |(name, value): &(&str, String)| json!({"title": name, "value": plain(value)});
    let mut body = vec![
        json!({"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true,
               "text": plain(&message.subject)}),
        json!({"type": "TextBlock", "wrap": true, "text": plain(&message.sentence)}),
        json!({"type": "FactSet", "facts": message.facts.iter().map(fact).collect::<Vec<_>>()}),
    ];
    if let Some(more) = &message.more {
        body.push(json!({"type": "TextBlock", "wrap": true, "text": more}));
    }
    let open = |(words, url): &(&str, String)| {
        let kind = "Action.OpenUrl";
        json!({"type": kind, "title": words, "url": url})
    };
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": message.link.iter().map(open).collect::<Vec<_>>(),
    });
    json!({"type": "message", "attachments": [
        {"contentType": "application/vnd.microsoft.card.adaptive", "content": card},
    ]})
}

/// Cards read some Markdown: a link in a text of a row must stay text.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '[' | ']' | '(' | ')' | '*' | '_' | '`' | '<' | '>') {
            plain.push('\\');
        }
        plain.push(letter);
    }
    plain
}

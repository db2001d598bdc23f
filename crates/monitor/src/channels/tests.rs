//! Messages in words, and channels against real receivers.

use super::*;
use model::notice::{Notice, NoticeKind};
use model::run::RunId;
use model::{Name, Problem, codes};
use proptest::prelude::*;
use serde_json::Value;
use std::net::TcpListener;
use testkit::http::{Reply, Server};
use testkit::{MailEncryption, MailServer};

const NOW: i64 = 1_800_000_000_000_000;
const DELIVERY: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const SEVERAL: &str = "0123456789abcdef";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn run() -> RunId {
    RunId::parse("01BX5ZZKBKACTAV9WEVGEMMVRZ").unwrap()
}

fn failed(message: &str) -> Notice {
    let problem = Problem::new(&codes::CHECK_FAILED, message).detail("line 7").hint("look there");
    Notice::RunFailed { pipeline: name("orders"), run: run(), problem: problem.to_stored() }
}

/// One notice of each kind.
fn all() -> Vec<Notice> {
    let pipeline = name("orders");
    let columns = |text: &str| vec![text.to_owned()];
    vec![
        failed("the check `totals` found 3 rows"),
        Notice::RunRecovered {
            pipeline: pipeline.clone(),
            run: run(),
            failures: 3,
            failing_since_us: NOW,
        },
        Notice::RunSucceeded {
            pipeline: pipeline.clone(),
            run: run(),
            rows_out: 12,
            rows_rejected: 1,
            elapsed_ms: 2_500,
        },
        Notice::RunLate { pipeline: pipeline.clone(), run: None, due_us: NOW },
        Notice::CheckFailed {
            pipeline: pipeline.clone(),
            run: run(),
            node: name("load"),
            check: "totals".to_owned(),
            offending: 3,
        },
        Notice::SchemaChanged {
            pipeline,
            run: run(),
            table: "silver.orders".to_owned(),
            added: columns("colour"),
            removed: Vec::new(),
            changed: columns("price"),
        },
        Notice::Test { by: "ana@example.org".to_owned() },
    ]
}

fn place() -> Place {
    Place { workspace: "shop".to_owned(), base_url: "https://data.example.org".to_owned() }
}

fn message(notice: &Notice) -> Message {
    Message::new(notice, 0, &place(), Language::English)
}

#[test]
fn every_kind_has_its_own_words_in_both_languages() {
    let notices = all();
    let kinds: Vec<NoticeKind> = notices.iter().map(Notice::kind).collect();
    assert!(NoticeKind::OF_RULES.iter().all(|kind| kinds.contains(kind)));
    let mut titles = Vec::new();
    for notice in &notices {
        for language in [Language::English, Language::French] {
            let (title, sentence) = Message::headline(notice, language);
            assert!(!sentence.contains("  ") && sentence.ends_with('.'), "{sentence}");
            if let Some(pipeline) = notice.pipeline() {
                assert!(title.contains(pipeline.as_str()), "{title}");
            }
            titles.push(title);
        }
    }
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), 2 * notices.len());
}

#[test]
fn a_message_says_what_where_and_how_many_more() {
    let message = Message::new(&failed("no rows"), 2, &place(), Language::French);
    assert_eq!(message.subject, "[shop] orders a échoué");
    let text = message.text();
    let parts = [
        "Une exécution de orders a échoué : no rows.",
        "Problème: no rows (check_failed)",
        "Que faire: look there",
        "Et 2 de plus depuis le message précédent.",
        "https://data.example.org/w/shop/runs/01BX5ZZKBKACTAV9WEVGEMMVRZ",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let nowhere = Place { base_url: String::new(), ..place() };
    let message = Message::new(&failed("no rows"), 0, &nowhere, Language::English);
    assert!(message.link.is_none() && !message.text().contains("more"));
}

proptest! {
    #[test]
    fn nothing_from_outside_becomes_a_header_a_tag_or_a_mention(text in any::<String>()) {
        let notice = failed(&format!("{text}\r\nBcc: x@example.org\r\n\r\n<b>&\"'<!channel>"));
        let message = message(&notice);
        prop_assert!(!message.subject.chars().any(char::is_control));
        let html = message.html();
        prop_assert!(!html.contains("<b>") && !html.contains("<!channel"));
        let slack = chat::slack(&message);
        let slack = slack["text"].as_str().unwrap();
        prop_assert_eq!(slack.matches('<').count(), 1, "only our own link is one");
    }

    #[test]
    fn long_texts_are_cut_between_characters(length in 0usize..3_000) {
        let notice = failed(&"é".repeat(length));
        let message = message(&notice);
        prop_assert!(message.sentence.chars().count() <= 1_001);
        prop_assert!(message.facts.iter().all(|(_, value)| value.chars().count() <= 1_001));
    }
}

async fn send(channel: &Channel, notice: &Notice) -> Result<()> {
    let message = Message::new(notice, 0, &place(), Language::English);
    channel.send(&message, DELIVERY, NOW, PrivateTargets::Allowed).await
}

#[tokio::test]
async fn chats_get_what_they_understand() {
    let server = Server::start(|_| Reply::new(200, "ok"));
    let url = || Secret::new(format!("{}/hooks/T0/B0", server.url()));
    send(&Channel::Slack { url: url() }, &failed("<@everyone> *no* rows")).await.unwrap();
    send(&Channel::Teams { url: url() }, &failed("[x](http://evil) rows")).await.unwrap();
    let bodies: Vec<Value> =
        server.requests().iter().map(|it| serde_json::from_slice(&it.body).unwrap()).collect();
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(text.starts_with("*[shop] orders failed*\n"), "{text}");
    assert!(text.contains("&lt;@everyone&gt;") && !text.contains("<@"), "{text}");
    assert!(text.ends_with("/runs/01BX5ZZKBKACTAV9WEVGEMMVRZ|Open the run>"), "{text}");
    let card = &bodies[1]["attachments"][0]["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert!(card["body"][1]["text"].as_str().unwrap().contains("\\[x\\]\\(http"));
    assert_eq!(card["actions"][0]["type"], "Action.OpenUrl");
}

#[tokio::test]
async fn a_webhook_is_signed_over_its_time_and_body() {
    let server = Server::start(|_| Reply::new(204, ""));
    let secret = Secret::new(SEVERAL);
    let url = Secret::new(format!("{}/hook?tenant=1", server.url()));
    send(&Channel::Webhook { url, secret: secret.clone() }, &failed("no rows")).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!((request.method.as_str(), request.param("tenant")), ("POST", Some("1")));
    assert_eq!(request.header("x-affluent-event"), Some("run_failed"));
    assert_eq!(request.header("x-affluent-delivery"), Some(DELIVERY));
    let expected = format!("t=1800000000,v1={}", signature(&secret, 1_800_000_000, &request.body));
    assert_eq!(request.header(SIGNATURE_HEADER), Some(expected.as_str()));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["notice"]["problem"]["code"], "check_failed");
    assert_eq!(body["id"], DELIVERY);
}

/// Computed with: printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
#[test]
fn signatures_are_those_that_others_compute() {
    let signed = signature(&Secret::new(SEVERAL), 1_800_000_000, br#"{"a":1}"#);
    assert_eq!(signed, "d3e17924cac4a72ca2ee9e5700df170fdb5733eaf69ecd909fb0c18a962b03a5");
}

#[tokio::test]
async fn what_the_other_side_says_becomes_the_right_problem() {
    let cases =
        [(404, "connection_refused"), (429, "connection_failed"), (503, "connection_failed")];
    for (status, code) in cases {
        let server = Server::start(move |_| Reply::new(status, "no_such_hook\u{7}"));
        let url = Secret::new(format!("{}/hooks/secret-part", server.url()));
        let problem = send(&Channel::Slack { url }, &failed("x")).await.unwrap_err();
        assert_eq!(problem.code().id, code);
        assert_eq!(problem.detail_text(), Some("no_such_hook"));
        assert!(!format!("{problem:?}").contains("secret-part"), "{problem:?}");
    }
    let server =
        Server::start(|_| Reply::new(302, "").header("location", "http://127.0.0.1:9/elsewhere"));
    let url = Secret::new(server.url());
    let problem = send(&Channel::Slack { url }, &failed("x")).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_REFUSED), "a redirect is not followed: {problem:?}");
    let closed =
        Secret::new(format!("http://127.0.0.1:{}/hooks/secret-part", testkit::free_port()));
    let problem = send(&Channel::Slack { url: closed }, &failed("x")).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_FAILED));
    assert!(!format!("{problem:?}").contains("secret-part"), "{problem:?}");
}

#[tokio::test]
async fn private_addresses_and_clear_lines_are_refused_before_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let cases = [
        (format!("https://127.0.0.1:{port}/"), "request_refused"),
        (format!("https://localhost:{port}/"), "request_refused"),
        (format!("https://[::ffff:127.0.0.1]:{port}/"), "request_refused"),
        (format!("https://2130706433:{port}/"), "request_refused"),
        (format!("http://127.0.0.1:{port}/"), "setting_invalid"),
        ("file:///etc/passwd".to_owned(), "setting_invalid"),
        ("no address".to_owned(), "setting_invalid"),
    ];
    let message = message(&failed("x"));
    for (url, code) in cases {
        let channel = Channel::Slack { url: Secret::new(url.clone()) };
        let sent = channel.send(&message, DELIVERY, NOW, PrivateTargets::Refused).await;
        assert_eq!(sent.unwrap_err().code().id, code, "{url}");
    }
    let mut email = email(port, Encryption::StartTls, None);
    let sent = Channel::Email(email.clone());
    let sent = sent.send(&message, DELIVERY, NOW, PrivateTargets::Refused).await;
    assert!(sent.unwrap_err().is(&codes::REQUEST_REFUSED));
    email.encryption = Encryption::None;
    let sent = Channel::Email(email.clone());
    let sent = sent.send(&message, DELIVERY, NOW, PrivateTargets::Refused).await;
    assert!(sent.unwrap_err().is(&codes::SETTING_INVALID));
    email.sign_in = Some(("ana".to_owned(), Secret::new("x")));
    assert!(email.check().unwrap_err().message().contains("password"));
    assert!(listener.accept().is_err(), "nobody has connected");
}

fn email(port: u16, encryption: Encryption, server: Option<&MailServer>) -> Email {
    let sign_in = (MailServer::USER.to_owned(), Secret::new(MailServer::PASSWORD));
    Email {
        host: "localhost".to_owned(),
        port,
        encryption,
        authority: server.map(MailServer::certificate),
        sign_in: (encryption != Encryption::None && server.is_some()).then_some(sign_in),
        from: "Data <data@example.org>".to_owned(),
        to: vec!["ana@example.org".to_owned(), "Bo Ek <bo@example.org>".to_owned()],
    }
}

#[tokio::test]
async fn mail_reaches_a_server_over_each_kind_of_line() {
    let lines = [
        (Encryption::None, MailEncryption::None),
        (Encryption::StartTls, MailEncryption::StartTls),
        (Encryption::Tls, MailEncryption::Tls),
    ];
    for (ours, theirs) in lines {
        let Some(server) = MailServer::start(theirs) else { return };
        let channel = Channel::Email(email(server.port(), ours, Some(&server)));
        send(&channel, &failed("é \r\nBcc: x@example.org <b>")).await.unwrap();
        let mail = server.next();
        assert_eq!(mail["to"], serde_json::json!(["ana@example.org", "bo@example.org"]));
        let encrypted = ours != Encryption::None;
        assert_eq!(
            (&mail["encrypted"], &mail["signed_in"]),
            (&encrypted.into(), &encrypted.into())
        );
        let headers: Vec<(String, String)> =
            serde_json::from_value(mail["headers"].clone()).unwrap();
        let header = |name: &str| {
            let found: Vec<&str> = headers
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            found.join("|")
        };
        assert_eq!(header("subject"), "[shop] orders failed");
        assert_eq!(header("bcc"), "");
        assert_eq!(header("message-id"), format!("<{DELIVERY}@affluent.invalid>"));
        assert!(mail["text"].as_str().unwrap().contains("A run of orders failed: é"));
        assert!(mail["html"].as_str().unwrap().contains("&lt;b&gt;"));
    }
}

#[tokio::test]
async fn a_mail_server_that_refuses_or_is_another_one_is_a_problem() {
    let Some(server) = MailServer::start(MailEncryption::StartTls) else { return };
    let good = email(server.port(), Encryption::StartTls, Some(&server));
    let to = |address: &str| Email { to: vec![address.to_owned()], ..good.clone() };
    let wrong = Some((MailServer::USER.to_owned(), Secret::new("guess")));
    let cases = [
        (to("nobody@example.org"), "connection_refused"),
        (to("later@example.org"), "connection_failed"),
        (Email { sign_in: wrong, ..good.clone() }, "connection_refused"),
        (Email { authority: None, ..good.clone() }, "connection_failed"),
        (Email { host: "127.0.0.2".to_owned(), ..good.clone() }, "connection_failed"),
        (Email { to: Vec::new(), ..good.clone() }, "setting_invalid"),
        (Email { from: "a@b\r\nBcc: c@d".to_owned(), ..good.clone() }, "setting_invalid"),
        (Email { authority: Some("no PEM".to_owned()), ..good.clone() }, "setting_invalid"),
    ];
    for (email, code) in cases {
        let problem = send(&Channel::Email(email.clone()), &failed("x")).await.unwrap_err();
        assert_eq!(problem.code().id, code, "{problem:?} of {email:?}");
        assert!(!format!("{problem:?}").contains("guess"));
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let email = Email { port: silent.local_addr().unwrap().port(), ..good.clone() };
    let (channel, message) = (Channel::Email(email), message(&failed("x")));
    let sending = channel.send_however_long(&message, DELIVERY, NOW, PrivateTargets::Allowed);
    let problem = within(Duration::from_millis(300), sending).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_TIMEOUT), "{problem:?}");
    let Some(clear) = MailServer::start(MailEncryption::None) else { return };
    let email = Email { port: clear.port(), ..good };
    let problem = send(&Channel::Email(email), &failed("x")).await.unwrap_err();
    assert!(!problem.is(&codes::INTERNAL), "{problem:?}");
    assert!(!server.has_mail() && !clear.has_mail(), "nothing was sent in the clear");
}

//! A mail server that takes every mail: aiosmtpd, started for one test.

use crate::{Certificate, python, skip};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

const PROGRAM: &str = include_str!("mail_server.py");
const TIMEOUT: Duration = Duration::from_secs(30);
/// Mails that nobody has looked at.
const MAILS_MAX: usize = 1_000;

/// How lines to the server are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailEncryption {
    /// Not at all.
    None,
    /// After a first exchange, which it insists upon.
    StartTls,
    /// From the beginning.
    Tls,
}

/// A mail server on a free port of 127.0.0.1; dropped, it stops.
#[derive(Debug)]
pub struct MailServer {
    process: Child,
    port: u16,
    certificate: Certificate,
    lines: Receiver<String>,
}

impl MailServer {
    /// Who may sign in, where somebody has to.
    pub const USER: &'static str = "affluent";
    /// With which password.
    pub const PASSWORD: &'static str = "mail: open sesame";

    /// Starts a server to which one signs in unless its line is not encrypted, or says that the
    /// test is skipped. Mail to `nobody@…` is refused, mail to `later@…` is to come again.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(encryption: MailEncryption) -> Option<Self> {
        let Some(python) = python("aiosmtpd") else {
            skip("aiosmtpd (scripts/setup test)");
            return None;
        };
        let certificate = Certificate::create();
        let (word, user, password) = match encryption {
            MailEncryption::None => ("none", "", ""),
            MailEncryption::StartTls => ("start_tls", Self::USER, Self::PASSWORD),
            MailEncryption::Tls => ("tls", Self::USER, Self::PASSWORD),
        };
        let mut process = Command::new(python)
            .args(["-c", PROGRAM, word])
            .args([certificate.file(), certificate.key()])
            .args([user, password])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let output = process.stdout.take().expect("its output is a pipe");
        let (sender, lines) = sync_channel(MAILS_MAX);
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let port = lines.recv_timeout(TIMEOUT).expect("the server says its port");
        let port = port.parse().expect("a port is a number");
        Some(Self { process, port, certificate, lines })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate it shows, PEM.
    pub fn certificate(&self) -> String {
        self.certificate.text()
    }

    /// The next mail that came in; waits for it.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn next(&self) -> Value {
        let line = self.lines.recv_timeout(TIMEOUT).expect("a mail comes in");
        serde_json::from_str(&line).expect("the server prints JSON")
    }

    /// Whether there is a mail that nobody has looked at.
    pub fn has_mail(&self) -> bool {
        self.lines.try_recv().is_ok()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

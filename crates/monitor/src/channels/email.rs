//! Mail over SMTP.

use super::SEND_TIMEOUT;
use super::http::{self, PrivateTargets};
use super::message::Message;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use model::{Problem, Result, Secret, codes};

/// How the line to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// From the beginning, mostly on port 465.
    Tls,
    /// After a first exchange, mostly on port 587; without it nothing is sent.
    StartTls,
    /// Not at all: for servers of one's own network, and without a password.
    None,
}

/// A mail server and who is written to.
#[derive(Debug, Clone)]
pub struct Email {
    /// Name of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the line is encrypted.
    pub encryption: Encryption,
    /// A certificate in PEM that the server's is signed with, when it is not a public one.
    pub authority: Option<String>,
    /// With which name and password one signs in there.
    pub sign_in: Option<(String, Secret)>,
    /// Who writes.
    pub from: String,
    /// Who is written to.
    pub to: Vec<String>,
}

impl Email {
    /// Says what is wrong with the settings, without a connection.
    pub fn check(&self) -> Result<()> {
        mailbox(&self.from, "/settings/from")?;
        for (index, to) in self.to.iter().enumerate() {
            mailbox(to, &format!("/settings/to/{index}"))?;
        }
        self.tls().map(drop)
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        delivery: &str,
        private: PrivateTargets,
    ) -> Result<()> {
        if self.encryption == Encryption::None && private == PrivateTargets::Refused {
            let message = "mail is not sent over a line that is not encrypted";
            return Err(Problem::new(&codes::SETTING_INVALID, message)
                .in_setting("/settings/encryption")
                .hint("choose `tls` or `start_tls`"));
        }
        let mail = self.mail(message, delivery)?;
        let addresses = http::addresses(&self.host, self.port, private).await?;
        let mut last = None;
        for address in addresses {
            // Connected by address, so that nobody can point the name elsewhere after the check.
            let mut builder =
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
                    .port(self.port)
                    .hello_name(ClientId::default())
                    .timeout(Some(SEND_TIMEOUT))
                    .tls(self.tls()?);
            if let Some((user, password)) = &self.sign_in {
                let password = password.reveal().to_owned();
                builder = builder.credentials(Credentials::new(user.clone(), password));
            }
            match builder.build().send(mail.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_response() || error.is_permanent() => {
                    return Err(self.failed(&error));
                }
                Err(error) => last = Some(self.failed(&error)),
            }
        }
        Err(last.expect("a host that was found has an address"))
    }

    fn mail(&self, message: &Message, delivery: &str) -> Result<lettre::Message> {
        let mut builder = lettre::Message::builder()
            .from(mailbox(&self.from, "/settings/from")?)
            .subject(&message.subject)
            // The same in every attempt, so that mail programs show a repetition once.
            .message_id(Some(format!("<{delivery}@affluent.invalid>")));
        for (index, to) in self.to.iter().enumerate() {
            builder = builder.to(mailbox(to, &format!("/settings/to/{index}"))?);
        }
        let body = MultiPart::alternative_plain_html(message.text(), message.html());
        builder.multipart(body).map_err(|error| {
            Problem::new(&codes::SETTING_INVALID, "no mail can be made of the settings")
                .detail(error)
                .hint("give at least one address in `to`")
        })
    }

    fn tls(&self) -> Result<Tls> {
        if self.encryption == Encryption::None {
            if self.sign_in.is_none() {
                return Ok(Tls::None);
            }
            let message = "a password is not sent over a line that is not encrypted";
            return Err(Problem::new(&codes::SETTING_INVALID, message)
                .in_setting("/settings/encryption")
                .hint("choose `tls` or `start_tls`"));
        }
        let invalid = || {
            Problem::new(&codes::SETTING_INVALID, "`authority` is not a certificate in PEM")
                .in_setting("/settings/authority")
                .hint("give the text from `-----BEGIN CERTIFICATE-----` on")
        };
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(pem) = &self.authority {
            // The library takes a text without any certificate for none.
            if !pem.contains("-----BEGIN CERTIFICATE-----") {
                return Err(invalid());
            }
            let certificate = Certificate::from_pem(pem.as_bytes());
            let certificate = certificate.map_err(|error| invalid().detail(error))?;
            builder = builder.add_root_certificate(certificate);
        }
        let parameters = builder.build_rustls().map_err(|error| invalid().detail(error))?;
        Ok(match self.encryption {
            Encryption::Tls => Tls::Wrapper(parameters),
            _ => Tls::Required(parameters),
        })
    }

    fn failed(&self, error: &lettre::transport::smtp::Error) -> Problem {
        let host = &self.host;
        let (code, what) = if error.is_permanent() {
            (&codes::CONNECTION_REFUSED, "refuses the mail or the password")
        } else if error.is_timeout() {
            (&codes::CONNECTION_TIMEOUT, "does not answer in time")
        } else if error.is_tls() {
            (&codes::CONNECTION_REFUSED, "offers no encryption that we accept")
        } else {
            (&codes::CONNECTION_FAILED, "did not take the mail")
        };
        Problem::new(code, format!("mail server `{host}` {what}")).arg("host", host).detail(error)
    }
}

fn mailbox(text: &str, setting: &str) -> Result<Mailbox> {
    text.parse().map_err(|error: lettre::address::AddressError| {
        Problem::new(&codes::SETTING_INVALID, "this is not a mail address")
            .detail(error)
            .in_setting(setting)
            .hint("write it like `data@example.org` or `Data team <data@example.org>`")
    })
}

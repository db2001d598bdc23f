//! Tokens: random texts of which only a hash is kept, and short-lived signed ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use model::{Problem, Result, Secret, codes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::TokenHash;

/// An access token is good for so long.
pub(crate) const ACCESS_SECONDS: u64 = 5 * 60;
const ISSUER: &str = "affluent";
const AUDIENCE: &str = "affluent-api";
const RANDOM_BYTES: usize = 32;

/// A new token of 256 random bits behind `prefix`.
pub(crate) fn random(prefix: &str) -> Result<Secret> {
    let mut bytes = [0_u8; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Problem::new(&codes::INTERNAL, "the system gives no random bytes").detail(error)
    })?;
    Ok(Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// What is kept of a random token. (It has too many bits to be guessed, so one round is enough.)
pub(crate) fn fingerprint(token: &Secret) -> TokenHash {
    TokenHash::new(Sha256::digest(token.reveal().as_bytes()).into())
}

/// What an access token says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user.
    pub(crate) sub: String,
    /// The family of refresh tokens that the token belongs to: when it ends, so does the token.
    pub(crate) sid: String,
    iss: String,
    aud: String,
    exp: u64,
    nbf: u64,
}

/// Signs and checks access tokens with one key and one algorithm.
pub(crate) struct AccessTokens {
    sign: EncodingKey,
    check: DecodingKey,
}

impl AccessTokens {
    /// Over a key that nothing else is signed with.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { sign: EncodingKey::from_secret(key), check: DecodingKey::from_secret(key) }
    }

    /// A token for a user, at `now_us`.
    pub(crate) fn issue(&self, user: &str, family: &str, now_us: i64) -> Result<Secret> {
        let now = seconds(now_us);
        let claims = Claims {
            sub: user.to_owned(),
            sid: family.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: now + ACCESS_SECONDS,
            nbf: now,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.sign);
        token.map(Secret::new).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a token cannot be signed").detail(error)
        })
    }

    /// What a token says, if it is ours and good at `now_us`.
    pub(crate) fn read(&self, token: &str, now_us: i64) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Compared below, with our own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = decode::<Claims>(token, &self.check, &validation).ok()?.claims;
        let now = seconds(now_us);
        (claims.nbf <= now && now < claims.exp).then_some(claims)
    }
}

fn seconds(now_us: i64) -> u64 {
    u64::try_from(now_us / 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_800_000_000_000_000;

    #[test]
    fn a_token_is_good_until_it_ends_and_for_nobody_elses_key() {
        let tokens = AccessTokens::new(&[7; 32]);
        let token = tokens.issue("user", "session", NOW_US).unwrap();
        let claims = tokens.read(token.reveal(), NOW_US).unwrap();
        assert_eq!((claims.sub.as_str(), claims.sid.as_str()), ("user", "session"));
        let end = NOW_US + i64::try_from(ACCESS_SECONDS).unwrap() * 1_000_000;
        assert!(tokens.read(token.reveal(), end - 1_000_000).is_some());
        assert!(tokens.read(token.reveal(), end).is_none());
        assert!(tokens.read(token.reveal(), NOW_US - 1_000_000).is_none());
        assert!(AccessTokens::new(&[8; 32]).read(token.reveal(), NOW_US).is_none());
    }

    #[test]
    fn other_algorithms_and_no_signature_are_refused() {
        let tokens = AccessTokens::new(&[7; 32]);
        let token = tokens.issue("user", "session", NOW_US).unwrap();
        let [_, claims, _] = token.reveal().split('.').collect::<Vec<_>>().try_into().unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        assert!(tokens.read(&format!("{none}.{claims}."), NOW_US).is_none());
        let key = EncodingKey::from_secret(&[7; 32]);
        let read: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let other = encode(&Header::new(Algorithm::HS512), &read, &key).unwrap();
        assert!(tokens.read(&other, NOW_US).is_none());
        let mut elsewhere = read;
        elsewhere["aud"] = "another".into();
        let other = encode(&Header::new(Algorithm::HS256), &elsewhere, &key).unwrap();
        assert!(tokens.read(&other, NOW_US).is_none());
    }

    #[test]
    fn random_tokens_differ_and_their_fingerprint_is_the_sha256() {
        let (a, b) = (random("afk_").unwrap(), random("afk_").unwrap());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), 4 + 43);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(fingerprint(&Secret::new("")).as_str(), empty);
    }
}

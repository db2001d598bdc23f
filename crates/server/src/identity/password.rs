//! Passwords: argon2id at the cost that OWASP gives, and none that is easy to guess.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use model::{Problem, Result, Secret, codes};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zxcvbn::{Score, zxcvbn};

/// A password has at least so many characters.
pub(crate) const CHARACTERS_MIN: usize = 12;
/// And at most so many bytes: hashing takes time.
const BYTES_MAX: usize = 1024;
/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Rounds over that memory.
const ROUNDS: u32 = 2;
/// Hashes at the same time per core, so that signing in cannot starve everything else.
const AT_ONCE_PER_CORE: usize = 2;

/// Hashes and compares passwords.
pub(crate) struct Passwords {
    at_once: Semaphore,
    /// What a password is compared with when there is no such user, so that it takes as long.
    nobody: Secret,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody = hash(&Secret::new("the password of nobody"))?;
        Ok(Self { at_once: Semaphore::new(cores * AT_ONCE_PER_CORE), nobody })
    }

    /// The text to store.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<Secret> {
        let _turn = self.at_once.acquire().await.map_err(stopped)?;
        let password = password.clone();
        spawn_blocking(move || hash(&password)).await.map_err(stopped)?
    }

    /// Whether `password` is the one that `stored` was made from. Takes as long without `stored`,
    /// and is then always wrong.
    pub(crate) async fn is_right(
        &self,
        password: &Secret,
        stored: Option<&Secret>,
    ) -> Result<bool> {
        let _turn = self.at_once.acquire().await.map_err(stopped)?;
        let exists = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).clone();
        let password = password.clone();
        let right = spawn_blocking(move || verify(&password, &stored)).await.map_err(stopped)?;
        Ok(right && exists)
    }
}

/// Refuses a password that is easy to guess for somebody who knows the names of its owner.
pub(crate) fn check_strength(password: &Secret, names: &[&str]) -> Result<()> {
    let text = password.reveal();
    let weak = |why: &str| {
        Err(Problem::new(&codes::PASSWORD_WEAK, why)
            .hint("four words that nobody else would put together are long and easy to remember"))
    };
    if text.chars().count() < CHARACTERS_MIN {
        return weak("the password has fewer than 12 characters");
    }
    if text.len() > BYTES_MAX {
        return weak("the password is longer than 1024 bytes");
    }
    let known = guesses(names);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    match zxcvbn(text, &known).score() < Score::Three {
        true => weak("the password is easy to guess"),
        false => Ok(()),
    }
}

/// What somebody who knows these names tries first: each, its words, and the words put together.
fn guesses(names: &[&str]) -> Vec<String> {
    let mut guesses = Vec::new();
    for name in names {
        let words =
            name.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
        guesses.extend(words.clone().map(str::to_owned));
        guesses.push(words.collect());
        guesses.push((*name).to_owned());
    }
    guesses
}

fn hasher() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, ROUNDS, 1, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Secret) -> Result<Secret> {
    let hash = hasher()?.hash_password(password.reveal().as_bytes()).map_err(failed)?;
    Ok(Secret::new(hash.to_string()))
}

fn verify(password: &Secret, stored: &Secret) -> bool {
    PasswordHash::new(stored.reveal()).is_ok_and(|stored| {
        Argon2::default().verify_password(password.reveal().as_bytes(), &stored).is_ok()
    })
}

fn failed(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "a password cannot be hashed").detail(error)
}

fn stopped(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "the hashing of passwords has stopped").detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_and_no_other_opens() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash(&Secret::new("correct horse battery")).await.unwrap();
        assert!(stored.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let right = Secret::new("correct horse battery");
        let wrong = Secret::new("correct horse batterz");
        assert!(passwords.is_right(&right, Some(&stored)).await.unwrap());
        assert!(!passwords.is_right(&wrong, Some(&stored)).await.unwrap());
        let nobody = Secret::new("the password of nobody");
        assert!(!passwords.is_right(&nobody, None).await.unwrap());
    }

    #[test]
    fn what_is_easy_to_guess_is_refused() {
        let names = ["claire.durand@example.org", "Claire Durand"];
        let weak = [
            "short",
            "password1234",
            "aaaaaaaaaaaaaaaa",
            "ClaireDurand1",
            "qwertyuiop[]",
            "abcabcabcabc",
        ];
        for weak in weak {
            let found = check_strength(&Secret::new(weak), &names);
            assert!(found.is_err_and(|problem| problem.is(&codes::PASSWORD_WEAK)), "{weak}");
        }
        check_strength(&Secret::new("rivers meet in autumn"), &names).unwrap();
    }
}

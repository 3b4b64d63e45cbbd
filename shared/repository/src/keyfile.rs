//! Key files: the master key, encrypted with a key that scrypt derives from the password.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::{Cipher, IV_BYTES, MAC_BYTES, MasterKey, random};
use crate::error::{RepositoryError, RepositoryErrorKind};

/// Most memory that a key file may make us use, in bytes. restic itself calibrates for 60 MiB.
const SCRYPT_BYTES_MAX: u64 = 512 << 20;
/// Most lanes that a key file may make us compute, one after another.
const SCRYPT_LANES_MAX: u32 = 64;

/// A repository's password. Wiped when dropped; shows itself nowhere.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What deriving a key from the password costs: scrypt's parameters (RFC 7914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCost {
    /// Binary logarithm of N, which memory (128 · N · r bytes) and time are proportional to.
    pub n_log2: u8,
    /// Block size r.
    pub r: u32,
    /// Parallelism p.
    pub p: u32,
}

impl Default for KeyCost {
    /// N = 2^15, r = 8, p = 1: 32 MiB and about 0.1 s. Repository passwords are generated, long and
    /// random here, so scrypt is not what protects them.
    fn default() -> Self {
        Self {
            n_log2: 15,
            r: 8,
            p: 1,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct KeyFileJson {
    created: String,
    username: String,
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// How trying one key file ended.
pub(crate) enum Unlock {
    Opened(MasterKey),
    WrongPassword,
}

/// Makes the bytes of a key file that `password` opens.
pub(crate) fn create(
    master: &MasterKey,
    password: &Password,
    cost: KeyCost,
    created: logisedge_domain::Instant,
) -> Result<Vec<u8>, RepositoryError> {
    let failed = |message: String| {
        RepositoryError::new(
            RepositoryErrorKind::Unsupported,
            "create",
            "a key file",
            message,
        )
    };
    let salt: [u8; 64] = random().map_err(|e| failed(e.to_string()))?;
    let user = derive(password, &salt, cost).map_err(failed)?;
    let json = master.to_json().map_err(|e| failed(e.to_string()))?;
    let mut data = vec![0u8; IV_BYTES + json.len() + MAC_BYTES];
    data[IV_BYTES..IV_BYTES + json.len()].copy_from_slice(&json);
    user.seal(&mut data).map_err(|e| failed(e.to_string()))?;
    let file = KeyFileJson {
        created: crate::golang::time(created),
        username: crate::snapshot::USERNAME.to_owned(),
        hostname: crate::snapshot::HOSTNAME.to_owned(),
        kdf: "scrypt".to_owned(),
        n: 1 << cost.n_log2,
        r: cost.r,
        p: cost.p,
        salt: BASE64.encode(salt),
        data: BASE64.encode(data),
    };
    serde_json::to_vec(&file).map_err(|e| failed(e.to_string()))
}

/// Tries a key file. The error says why the file itself cannot be used, whatever the password.
pub(crate) fn unlock(file: &[u8], password: &Password) -> Result<Unlock, String> {
    let file: KeyFileJson =
        serde_json::from_slice(file).map_err(|e| format!("it is no key file: {e}"))?;
    if file.kdf != "scrypt" {
        return Err(format!("its key derivation {:?} is not scrypt", file.kdf));
    }
    if !file.n.is_power_of_two() || file.n < 2 {
        return Err(format!("its N of {} is no power of two", file.n));
    }
    let decode = |text: &str| BASE64.decode(text).map_err(|e| format!("its base64: {e}"));
    let cost = KeyCost {
        n_log2: file.n.trailing_zeros() as u8,
        r: file.r,
        p: file.p,
    };
    let user = derive(password, &decode(&file.salt)?, cost)?;
    let mut data = Zeroizing::new(decode(&file.data)?);
    match user.open(&mut data) {
        Err(_) => Ok(Unlock::WrongPassword),
        Ok(json) => MasterKey::from_json(json)
            .map(Unlock::Opened)
            .ok_or_else(|| "it opens, but holds no master key".to_owned()),
    }
}

fn derive(password: &Password, salt: &[u8], cost: KeyCost) -> Result<Cipher, String> {
    let bytes = 1u64
        .checked_shl(u32::from(cost.n_log2))
        .and_then(|n| n.checked_mul(128 * u64::from(cost.r)));
    if cost.p > SCRYPT_LANES_MAX || bytes.is_none_or(|bytes| bytes > SCRYPT_BYTES_MAX) {
        return Err(format!(
            "its scrypt cost (N 2^{}, r {}, p {}) is past what this program accepts",
            cost.n_log2, cost.r, cost.p
        ));
    }
    let params = scrypt::Params::new(cost.n_log2, cost.r, cost.p)
        .map_err(|e| format!("its scrypt parameters: {e}"))?;
    let mut key = Zeroizing::new([0u8; 64]);
    scrypt::scrypt(password.0.as_bytes(), salt, &params, &mut *key)
        .map_err(|e| format!("scrypt: {e}"))?;
    Ok(Cipher::new(&key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CHEAP: KeyCost = KeyCost {
        n_log2: 4,
        r: 1,
        p: 1,
    };

    #[test]
    fn the_password_opens_and_another_does_not() {
        let master = MasterKey::generate().unwrap();
        let password = Password::new("correct horse".into());
        let now = chrono::DateTime::UNIX_EPOCH;
        let file = create(&master, &password, CHEAP, now).unwrap();
        assert!(matches!(
            unlock(&file, &password),
            Ok(Unlock::Opened(key)) if *key.to_json().unwrap() == *master.to_json().unwrap()
        ));
        let other = Password::new("correct horsf".into());
        assert!(matches!(unlock(&file, &other), Ok(Unlock::WrongPassword)));
    }

    #[test]
    fn a_key_file_cannot_make_us_use_unbounded_memory() {
        let dear = br#"{"created":"","username":"","hostname":"","kdf":"scrypt","N":1099511627776,
            "r":8,"p":1,"salt":"AAAA","data":"AAAA"}"#;
        let password = Password::new("x".into());
        assert!(unlock(dear, &password).is_err());
        assert!(unlock(b"[]", &password).is_err());
    }

    #[test]
    fn a_password_does_not_show_itself() {
        let shown = format!("{:?}", Password::new("s3cret".into()));
        assert!(!shown.contains("s3cret"));
    }
}

//! AES-256-CTR with Poly1305-AES, as restic's design document defines it: `IV || CIPHERTEXT || MAC`.

use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128Enc, Aes256Enc};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of the initialisation vector before a ciphertext.
pub(crate) const IV_BYTES: usize = 16;
/// Bytes of the message authentication code after it.
pub(crate) const MAC_BYTES: usize = 16;
/// What encryption adds to a plaintext.
pub(crate) const OVERHEAD_BYTES: usize = IV_BYTES + MAC_BYTES;

/// Bits of `r` that Poly1305 wants cleared (section 2 of Bernstein's paper).
const R_MASK: [u8; 16] = [
    0xff, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f,
];

/// The ciphertext was altered, cut short, or belongs to another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its authentication code does not match")]
pub(crate) struct Unauthentic;

/// The random generator of the system failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub(crate) struct NoRandom(getrandom::Error);

/// Fills a new array with random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(NoRandom)?;
    Ok(bytes)
}

/// Encrypts and authenticates. Holds expanded keys, which are wiped when dropped.
#[derive(Clone)]
pub(crate) struct Cipher {
    encrypt: Aes256Enc,
    mac: Aes128Enc,
    mac_r: Zeroizing<[u8; 16]>,
}

impl Cipher {
    /// Expands the keys: 32 bytes to encrypt with, then `k` and `r` of Poly1305-AES.
    pub(crate) fn new(key: &[u8; 64]) -> Self {
        let (encrypt, rest) = key.split_at(32);
        let (k, r) = rest.split_at(16);
        let mut mac_r = Zeroizing::new([0u8; 16]);
        for ((masked, r), mask) in mac_r.iter_mut().zip(r).zip(R_MASK) {
            *masked = r & mask;
        }
        let mut encrypt_key = Zeroizing::new([0u8; 32]);
        encrypt_key.copy_from_slice(encrypt);
        let mut mac_key = Zeroizing::new([0u8; 16]);
        mac_key.copy_from_slice(k);
        Self {
            encrypt: Aes256Enc::new((&*encrypt_key).into()),
            mac: Aes128Enc::new((&*mac_key).into()),
            mac_r,
        }
    }

    /// Encrypts in place. `sealed` is `IV || plaintext || room for the MAC`; the IV is drawn here.
    pub(crate) fn seal(&self, sealed: &mut [u8]) -> Result<(), NoRandom> {
        self.seal_with(sealed, random()?);
        Ok(())
    }

    fn seal_with(&self, sealed: &mut [u8], iv: [u8; IV_BYTES]) {
        let (head, rest) = sealed.split_at_mut(IV_BYTES);
        let (body, tail) = rest.split_at_mut(rest.len() - MAC_BYTES);
        head.copy_from_slice(&iv);
        self.apply(&iv, body);
        tail.copy_from_slice(&self.authenticate(&iv, body));
    }

    /// Checks and decrypts in place, and returns the part of `sealed` that is the plaintext.
    pub(crate) fn open<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Unauthentic> {
        if sealed.len() < OVERHEAD_BYTES {
            return Err(Unauthentic);
        }
        let (head, rest) = sealed.split_at_mut(IV_BYTES);
        let (body, tail) = rest.split_at_mut(rest.len() - MAC_BYTES);
        let iv: [u8; IV_BYTES] = (&*head).try_into().map_err(|_| Unauthentic)?;
        let expected = self.authenticate(&iv, body);
        // In constant time: where they differ must not be measurable.
        let difference = expected
            .iter()
            .zip(tail.iter())
            .fold(0u8, |sum, (a, b)| sum | (a ^ b));
        if difference != 0 {
            return Err(Unauthentic);
        }
        self.apply(&iv, body);
        Ok(body)
    }

    fn apply(&self, iv: &[u8; IV_BYTES], body: &mut [u8]) {
        let counter = ctr::CtrCore::inner_iv_init(self.encrypt.clone(), iv.into());
        ctr::Ctr128BE::<Aes256Enc>::from_core(counter).apply_keystream(body);
    }

    fn authenticate(&self, iv: &[u8; IV_BYTES], body: &[u8]) -> [u8; MAC_BYTES] {
        let mut s = aes::Block::from(*iv);
        self.mac.encrypt_block(&mut s);
        let mut key = Zeroizing::new([0u8; 32]);
        key[..16].copy_from_slice(&*self.mac_r);
        key[16..].copy_from_slice(&s);
        let mut mac = Poly1305::new((&*key).into());
        let (blocks, rest) = poly1305::Block::slice_as_chunks(body);
        mac.update(blocks);
        mac.compute_unpadded(rest).into()
    }
}

/// The keys that everything in a repository is encrypted with, as a key file holds them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct MasterKey([u8; 64]);

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct MasterKeyJson {
    mac: MacKeyJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct MacKeyJson {
    k: String,
    r: String,
}

impl MasterKey {
    pub(crate) fn generate() -> Result<Self, NoRandom> {
        let mut key = random::<64>()?;
        for (r, mask) in key[48..].iter_mut().zip(R_MASK) {
            *r &= mask;
        }
        let master = Self(key);
        key.zeroize();
        Ok(master)
    }

    pub(crate) fn cipher(&self) -> Cipher {
        Cipher::new(&self.0)
    }

    pub(crate) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let json = MasterKeyJson {
            mac: MacKeyJson {
                k: BASE64.encode(&self.0[32..48]),
                r: BASE64.encode(&self.0[48..]),
            },
            encrypt: BASE64.encode(&self.0[..32]),
        };
        serde_json::to_vec(&json).map(Zeroizing::new)
    }

    /// None where it is no JSON of a master key, or a key of another length.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let json: MasterKeyJson = serde_json::from_slice(json).ok()?;
        let mut key = Self([0u8; 64]);
        for (range, text) in [
            (0..32, &json.encrypt),
            (32..48, &json.mac.k),
            (48..64, &json.mac.r),
        ] {
            let part = Zeroizing::new(BASE64.decode(text).ok()?);
            if part.len() != range.len() {
                return None;
            }
            key.0[range].copy_from_slice(&part);
        }
        Some(key)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The examples of appendix B of "The Poly1305-AES message-authentication code", which
    /// restic's own tests use too: message, k, r, nonce, tag.
    const VECTORS: [[&str; 5]; 4] = [
        [
            "f3f6",
            "ec074c835580741701425b623235add6",
            "851fc40c3467ac0be05cc20404f3f700",
            "fb447350c4e868c52ac3275cf9d4327e",
            "f4c633c3044fc145f84f335cb81953de",
        ],
        [
            "",
            "75deaa25c09f208e1dc4ce6b5cad3fbf",
            "a0f3080000f46400d0c7e9076c834403",
            "61ee09218d29b0aaed7e154a2c5509cc",
            "dd3fab2251f11ac759f0887129cc2ee7",
        ],
        [
            "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
            "6acb5f61a7176dd320c5c1eb2edcdc74",
            "48443d0bb0d21109c89a100b5ce2c208",
            "ae212a55399729595dea458bc621ff0e",
            "0ee1c16bb73f0f4fd19881753c01cdbe",
        ],
        [
            "ab0812724a7f1e342742cbed374d94d136c6b8795d45b3819830f2c04491faf0990c62e48b8018b2c3e4a0fa3134cb67fa83e158c994d961c4cb21095c1bf9",
            "e1a5668a4d5b66a5f68cc5424ed5982d",
            "12976a08c4426d0ce8a82407c4f48207",
            "9ae831e743978d3a23527c7128149e3a",
            "5154ad0d2cb26e01274fc51148491f1b",
        ],
    ];

    fn cipher(k: &str, r: &str) -> Cipher {
        let mut key = [7u8; 64];
        key[32..48].copy_from_slice(&hex::decode(k).unwrap());
        key[48..].copy_from_slice(&hex::decode(r).unwrap());
        Cipher::new(&key)
    }

    #[test]
    fn poly1305_aes_agrees_with_the_papers_examples() {
        for [message, k, r, nonce, tag] in VECTORS {
            let nonce: [u8; 16] = hex::decode(nonce).unwrap().try_into().unwrap();
            let mac = cipher(k, r).authenticate(&nonce, &hex::decode(message).unwrap());
            assert_eq!(hex::encode(mac), tag);
        }
    }

    #[test]
    fn aes_256_ctr_agrees_with_nist_sp_800_38a() {
        let mut key = [0u8; 64];
        let nist = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
        key[..32].copy_from_slice(&hex::decode(nist).unwrap());
        let iv: [u8; 16] = hex::decode("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
            .unwrap()
            .try_into()
            .unwrap();
        let mut body =
            hex::decode("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
                .unwrap();
        Cipher::new(&key).apply(&iv, &mut body);
        assert_eq!(
            hex::encode(body),
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        );
    }

    #[test]
    fn what_was_sealed_opens_and_any_flipped_bit_is_noticed() {
        let key = MasterKey::generate().unwrap();
        let cipher = key.cipher();
        for length in [0usize, 1, 15, 16, 17, 1000] {
            let plaintext: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut sealed = vec![0u8; length + OVERHEAD_BYTES];
            sealed[IV_BYTES..IV_BYTES + length].copy_from_slice(&plaintext);
            cipher.seal(&mut sealed).unwrap();
            assert_eq!(cipher.open(&mut sealed.clone()).unwrap(), plaintext);
            for at in [0, IV_BYTES, sealed.len() - 1, sealed.len() / 2] {
                let mut altered = sealed.clone();
                altered[at] ^= 1;
                assert!(cipher.open(&mut altered).is_err());
            }
            let short = sealed.len() - 1;
            assert!(cipher.open(&mut sealed[..short]).is_err());
        }
        assert!(cipher.open(&mut [0u8; 31]).is_err());
    }

    #[test]
    fn a_master_key_survives_its_json() {
        let key = MasterKey::generate().unwrap();
        let again = MasterKey::from_json(&key.to_json().unwrap()).unwrap();
        assert_eq!(key.0, again.0);
        assert!(MasterKey::from_json(b"{}").is_none());
    }
}

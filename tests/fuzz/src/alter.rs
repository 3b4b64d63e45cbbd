//! What is done to a sample.

use crate::Random;

/// Numbers at which parsers stumble, as text.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "1e309",
    "0.5",
];

/// Pieces of the languages that are parsed here.
const PIECES: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"null",
    b"true",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b",",
    b":",
    b"'",
    b"\"",
    b"$$",
    b"$tag$",
    b"/*",
    b"*/",
    b"--",
    b";",
    b"\0",
    b"\xff\xfe",
    "é".as_bytes(),
];

/// Most alterations of one input.
const ALTERATIONS_MAX: usize = 4;
/// Longest stretch of random bytes.
const RANDOM_BYTES_MAX: usize = 300;

/// The next input: mostly an altered sample, now and then mere noise.
pub(crate) fn input(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let sample = match random.below(16) {
        0 => None,
        _ => random.one_of(samples),
    };
    let Some(sample) = sample else {
        let length = random.below(RANDOM_BYTES_MAX);
        return random.bytes(length);
    };
    let mut bytes = sample.clone();
    for _ in 0..=random.below(ALTERATIONS_MAX) {
        alter(&mut bytes, samples, random);
    }
    bytes
}

fn alter(bytes: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    let some = random.below(20);
    let end = (at + some + 1).min(bytes.len());
    match random.below(11) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.number() as u8;
            }
        }
        2 => bytes.truncate(at),
        3 => {
            bytes.drain(at..end);
        }
        4 => {
            let more = random.bytes(some);
            bytes.splice(at..at, more);
        }
        5 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            // The rest of another sample.
            if let Some(other) = random.one_of(samples) {
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
        7 => number(bytes, random),
        8 => {
            let word = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
            let word = random
                .one_of(&word)
                .copied()
                .unwrap_or_default()
                .to_le_bytes();
            for (byte, new) in bytes.iter_mut().skip(at).zip(word) {
                *byte = new;
            }
        }
        9 => {
            let piece = random.one_of(&PIECES).copied().unwrap_or_default();
            let times = 1 + random.below(3) * random.below(40);
            bytes.splice(at..at, piece.repeat(times));
        }
        _ => bytes.extend(random.bytes(some)),
    }
}

/// Puts another number where one stands.
fn number(bytes: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(bytes.len());
    let digit = |b: &u8| b.is_ascii_digit();
    let Some(start) = bytes[from..].iter().position(digit).map(|at| from + at) else {
        return;
    };
    let length = bytes[start..].iter().take_while(|b| digit(b)).count();
    let other = random.one_of(&NUMBERS).copied().unwrap_or_default();
    bytes.splice(start..start + length, other.bytes());
}

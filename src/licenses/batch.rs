//! Many signatures under one key, as strictly as one by one.
//!
//! A signature counts only if [`VerifyingKey::verify_strict`] accepts it; this file is a faster way to the same
//! answer, never another answer. The usual batch equation is not enough for that. It sums
//! `z·(s·B − h·A − R)` over the signatures with random factors `z` and asks whether the sum is zero; a part of
//! small order in some `R` vanishes from that sum whenever its factor happens to be a multiple of its order, so
//! a signature made on purpose would load on one start and not on the next. So:
//!
//! 1. A key is trusted only without such a part ([`is_strong`]); the base point has none.
//! 2. Every `R` must be in canonical encoding and not the neutral element.
//! 3. Every `R` is shown to have no part of small order: [`PROBES`] random sums of the `R`s are multiplied by
//!    the group order. A bad one stays hidden in each with a probability of at most one half.
//! 4. Then only the equation's large part is left, where random factors of 128 bits decide.
//!
//! Any signature that is refused by the strict rule gets through with a probability of 2^-40 at most (and only the
//! holder of the private key can try); where a batch fails, its signatures are verified strictly one by one.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity, VartimeMultiscalarMul};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};

/// Fewer signatures than this are verified one by one: the probes alone cost as much.
const BATCH_MIN: usize = 64;
/// Random sums that a part of small order must be found by.
const PROBES: usize = 40;
/// Probes taken from one random byte: each of its bits says whether a point belongs to the probe of that bit.
const PROBES_A_BYTE: usize = 8;
const ROUNDS: usize = PROBES / PROBES_A_BYTE;

/// One signature and what it signs.
pub(super) struct Item<'m> {
    pub(super) message: &'m [u8],
    pub(super) signature: Signature,
}

/// Whether a key may be trusted at all: not of small order, and without a part of small order.
pub(super) fn is_strong(key: &VerifyingKey) -> bool {
    !key.is_weak() && key.to_edwards().is_torsion_free()
}

/// Whether each signature is accepted by `verify_strict` under a key that [`is_strong`].
pub(super) fn verify(key: &VerifyingKey, items: &[Item<'_>]) -> Vec<bool> {
    if items.len() >= BATCH_MIN && all_good(key, items).unwrap_or(false) {
        return vec![true; items.len()];
    }
    items.iter().map(|item| key.verify_strict(item.message, &item.signature).is_ok()).collect()
}

/// `None` where some signature cannot even be read, or there are no random numbers to be had.
fn all_good(key: &VerifyingKey, items: &[Item<'_>]) -> Option<bool> {
    let points: Vec<EdwardsPoint> =
        items.iter().map(|item| canonical_point(item.signature.r_bytes())).collect::<Option<_>>()?;
    let mut bytes = vec![0; points.len() * ROUNDS];
    getrandom::fill(&mut bytes).ok()?;
    if !bytes.chunks(points.len()).all(|round| probe(&points, round)) {
        return Some(false);
    }
    let mut factors = vec![0; points.len() * 16];
    getrandom::fill(&mut factors).ok()?;
    // Σ z·s·B − Σ z·h·A − Σ z·R must be zero.
    let (mut base, mut of_key) = (Scalar::ZERO, Scalar::ZERO);
    let mut scalars = Vec::with_capacity(points.len() + 2);
    for (item, factor) in items.iter().zip(factors.as_chunks::<16>().0) {
        let z = Scalar::from(u128::from_le_bytes(*factor));
        let s: Scalar = Option::from(Scalar::from_canonical_bytes(*item.signature.s_bytes()))?;
        let hash = Sha512::new()
            .chain_update(item.signature.r_bytes())
            .chain_update(key.as_bytes())
            .chain_update(item.message)
            .finalize();
        base += z * s;
        of_key += z * Scalar::from_bytes_mod_order_wide(&hash.into());
        scalars.push(z);
    }
    scalars.extend([of_key, -base]);
    let all = points.iter().copied().chain([key.to_edwards(), ED25519_BASEPOINT_POINT]);
    Some(EdwardsPoint::vartime_multiscalar_mul(scalars, all).is_identity())
}

/// A point in the only encoding the strict rule accepts, and not the neutral element.
fn canonical_point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    // The field's prime is 2^255 - 19; the top bit is the sign of x. The points with x = 0, for which the sign
    // has two encodings, are of small order: refused here or by the probes.
    let [first, middle @ .., last] = bytes;
    let beyond_the_prime = *first >= 0xed && middle.iter().all(|b| *b == 0xff) && last & 0x7f == 0x7f;
    let point = if beyond_the_prime { None } else { CompressedEdwardsY(*bytes).decompress() }?;
    (!point.is_identity()).then_some(point)
}

/// Eight random sums at once: `selection` has a byte for each point.
fn probe(points: &[EdwardsPoint], selection: &[u8]) -> bool {
    let mut buckets = vec![EdwardsPoint::identity(); 1 << PROBES_A_BYTE];
    for (point, byte) in points.iter().zip(selection) {
        if let Some(bucket) = buckets.get_mut(usize::from(*byte)) {
            *bucket += point;
        }
    }
    (0..PROBES_A_BYTE).all(|bit| {
        let chosen = buckets.iter().enumerate().filter(|(byte, _)| byte >> bit & 1 == 1);
        chosen.map(|(_, bucket)| bucket).sum::<EdwardsPoint>().is_torsion_free()
    })
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn good(n: usize) -> (VerifyingKey, Vec<Vec<u8>>, Vec<Signature>) {
        let key = SigningKey::from_bytes(&SECRET);
        let messages: Vec<Vec<u8>> = (0..n).map(|i| format!("message {i}").into_bytes()).collect();
        let signatures = messages.iter().map(|m| key.sign(m)).collect();
        (key.verifying_key(), messages, signatures)
    }

    fn check(key: &VerifyingKey, messages: &[Vec<u8>], signatures: &[Signature]) -> Vec<bool> {
        let items: Vec<Item<'_>> =
            messages.iter().zip(signatures).map(|(m, s)| Item { message: m, signature: *s }).collect();
        verify(key, &items)
    }

    /// A signature whose R carries a part of small order: what the holder of the private key can make, and
    /// what the cofactorless equation without the probes accepts in one of eight batches.
    fn with_torsion(message: &[u8], torsion: EdwardsPoint) -> Signature {
        let expanded = Sha512::digest(SECRET);
        let mut low = [0; 32];
        low.copy_from_slice(&expanded[..32]);
        let secret = Scalar::from_bytes_mod_order(curve25519_dalek::scalar::clamp_integer(low));
        let public = SigningKey::from_bytes(&SECRET).verifying_key();
        let nonce = Scalar::from(123_456_789u64);
        let r = (EdwardsPoint::mul_base(&nonce) + torsion).compress();
        let hash = Sha512::new()
            .chain_update(r.as_bytes())
            .chain_update(public.as_bytes())
            .chain_update(message)
            .finalize();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret;
        Signature::from_components(*r.as_bytes(), s.to_bytes())
    }

    #[test]
    fn good_signatures_pass_as_a_batch() {
        let (key, messages, signatures) = good(300);
        let items: Vec<Item<'_>> =
            messages.iter().zip(&signatures).map(|(m, s)| Item { message: m, signature: *s }).collect();
        assert_eq!(all_good(&key, &items), Some(true));
    }

    #[test]
    fn one_bad_signature_is_found_among_its_neighbours() {
        let (key, messages, mut signatures) = good(200);
        signatures.swap(17, 18);
        let accepted = check(&key, &messages, &signatures);
        let refused: Vec<usize> = (0..200).filter(|i| !accepted[*i]).collect();
        assert_eq!(refused, [17, 18]);
    }

    #[test]
    fn parts_of_small_order_are_refused_in_a_batch_as_they_are_alone() {
        let (key, messages, signatures) = good(100);
        assert!(
            key.verify_strict(b"x", &with_torsion(b"x", EdwardsPoint::identity())).is_ok(),
            "the forger works"
        );
        for torsion in EIGHT_TORSION.iter().skip(1) {
            // Twenty tries: a batch that looked at the equation alone would let about one in eight through.
            for _ in 0..20 {
                let mut forged = signatures.clone();
                // Two of opposite order, which a probe with odd factors would let cancel each other.
                forged[3] = with_torsion(&messages[3], *torsion);
                forged[60] = with_torsion(&messages[60], -torsion);
                let items: Vec<Item<'_>> =
                    messages.iter().zip(&forged).map(|(m, s)| Item { message: m, signature: *s }).collect();
                assert_eq!(all_good(&key, &items), Some(false));
            }
            let alone = with_torsion(&messages[3], *torsion);
            assert!(key.verify_strict(&messages[3], &alone).is_err());
        }
    }

    #[test]
    fn odd_encodings_of_r_are_refused() {
        // y = p encodes 0 and y = p + 1 encodes 1, both beyond the prime; the last is the neutral element.
        let beyond = |low: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, 0x7f);
            bytes
        };
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for bytes in [beyond(0xed), beyond(0xee), neutral] {
            assert!(canonical_point(&bytes).is_none());
        }
        assert!(canonical_point(ED25519_BASEPOINT_POINT.compress().as_bytes()).is_some());
    }

    #[test]
    fn keys_of_small_order_are_not_strong() {
        let neutral = CompressedEdwardsY::identity();
        assert!(!is_strong(&VerifyingKey::from_bytes(neutral.as_bytes()).unwrap()));
        let mixed = (ED25519_BASEPOINT_POINT + EIGHT_TORSION[1]).compress();
        assert!(!is_strong(&VerifyingKey::from_bytes(mixed.as_bytes()).unwrap()));
        assert!(is_strong(&SigningKey::from_bytes(&SECRET).verifying_key()));
    }
}

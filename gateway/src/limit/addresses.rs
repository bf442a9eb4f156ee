//! Buckets for addresses, in a table of fixed size.
//!
//! Sets of four, like a processor's cache: a stranger who finds no place takes that of the bucket that is nearest to full, which
//! loses least. The hash is keyed, so that nobody can choose whose place to take. An IPv6 caller is its /64: one customer has all
//! of it.

use super::bucket::{self, Quota, Refill};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A bucket per address.
pub struct Addresses {
    quota: Quota,
    hasher: RandomState,
    sets: Box<[Mutex<[Place; WAYS]>]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    owner: u64,
    bucket: u64,
}

impl Addresses {
    /// An empty table: 1 MB, for ever.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            hasher: RandomState::new(),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// What each address has.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Takes one for this address.
    ///
    /// # Errors
    /// How long to wait when there is none.
    pub fn take(&self, address: IpAddr) -> Result<Refill, Duration> {
        self.take_at(address, bucket::now())
    }

    /// Whether there is one, without taking it.
    ///
    /// # Errors
    /// How long to wait when there is none.
    pub fn peek(&self, address: IpAddr) -> Result<(), Duration> {
        let (owner, set) = self.find(address);
        let places = set.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = places.iter().find(|place| place.owner == owner).map_or(0, |p| p.bucket);
        self.quota.after_one(bucket, bucket::now()).map(|_| ())
    }

    fn take_at(&self, address: IpAddr, now: u64) -> Result<Refill, Duration> {
        let (owner, set) = self.find(address);
        let mut places = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.iter().position(|place| place.owner == owner);
        let place = match known {
            Some(index) => &mut places[index],
            None => {
                let index = (0..WAYS).min_by_key(|index| places[*index].bucket).unwrap_or(0);
                places[index] = Place { owner, bucket: 0 };
                &mut places[index]
            }
        };
        let (after, refill) = self.quota.after_one(place.bucket, now)?;
        place.bucket = after;
        Ok(refill)
    }

    fn find(&self, address: IpAddr) -> (u64, &Mutex<[Place; WAYS]>) {
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => u128::from(v6) >> 64 << 64,
        };
        let owner = self.hasher.hash_one(network);
        (owner, &self.sets[(owner % SETS as u64) as usize])
    }
}

const WAYS: usize = 4;
const SETS: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_have_their_own_buckets_and_ipv6_customers_one() {
        let table = Addresses::new(Quota::per_minute(2));
        for text in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert!(table.take_at(address(text), 0).is_ok(), "{text} is the same caller");
        }
        assert!(table.take_at(address("192.0.2.1"), 0).is_err());
        assert!(table.peek(address("192.0.2.9")).is_ok());
        assert!(table.take_at(address("192.0.2.2"), 0).is_ok());
        for host in ["2001:db8::1", "2001:db8::ffff:2"] {
            assert!(table.take_at(address(host), 0).is_ok());
        }
        assert!(table.take_at(address("2001:db8::3"), 0).is_err(), "one /64, one caller");
        assert!(table.take_at(address("2001:db8:0:1::3"), 0).is_ok());
    }

    #[test]
    fn a_flood_of_strangers_frees_nobody_who_is_deep_in_debt() {
        let table = Addresses::new(Quota::per_minute(1000));
        let abuser = address("192.0.2.1");
        while table.take_at(abuser, 0).is_ok() {}
        for stranger in 0..100_000u32 {
            let _ = table.take_at(IpAddr::V4((0x0a00_0000 + stranger).into()), 0);
        }
        assert!(table.take_at(abuser, 0).is_err());
    }
}

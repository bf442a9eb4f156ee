//! Merkle trees as RFC 9162 (section 2.1) defines them: hashing, inclusion and consistency proofs.
//!
//! Pure. Leaves and nodes are hashed with different prefixes, so that no node can be passed off as a leaf.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The hash of a leaf with this content.
pub fn leaf(data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}

/// The hash of the node above two others.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root over these leaves; the hash of nothing when there are none.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// The right edge of a growing tree: all that is needed to add leaves and to tell the root, in space of the logarithm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees, the largest first: one per bit that is set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Adds a leaf at the right.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut size = self.size;
        while size & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node(&left, &hash);
            size >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Sha256::digest([]).into(),
            Some(last) => peaks.fold(*last, |right, left| node(left, &right)),
        }
    }
}

/// The siblings on the way from leaf `index` to the root (RFC 9162, 2.1.3.1), lowest first; empty when there is no such
/// leaf.
pub fn inclusion(leaves: &[Hash], index: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 && index < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    path.reverse();
    path
}

/// The nodes that show the tree of the first `older` leaves to be a prefix of the whole (RFC 9162, 2.1.4.1); empty when
/// it is the whole, or nothing.
pub fn consistency(leaves: &[Hash], older: usize) -> Vec<Hash> {
    let mut proof = Vec::new();
    if older > 0 && older < leaves.len() {
        subproof(leaves, older, true, &mut proof);
    }
    proof
}

fn subproof(leaves: &[Hash], older: usize, whole: bool, proof: &mut Vec<Hash>) {
    if older == leaves.len() {
        if !whole {
            proof.push(root(leaves));
        }
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if older <= left.len() {
        subproof(left, older, whole, proof);
        proof.push(root(right));
    } else {
        subproof(right, older - left.len(), false, proof);
        proof.push(root(left));
    }
}

/// The largest power of two below `n`, which is at least two.
fn split(n: usize) -> usize {
    1 << (n - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    /// The root by the definition of RFC 9162, 2.1.1.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            more => {
                let (left, right) = more.split_at(split(more.len()));
                node(&defined(left), &defined(right))
            }
        }
    }

    /// RFC 9162, 2.1.3.2.
    fn included(root: &Hash, size: usize, index: usize, leaf: Hash, path: &[Hash]) -> bool {
        let (mut fnode, mut snode, mut hash) = (index, size - 1, leaf);
        for p in path {
            if snode == 0 {
                return false;
            }
            if fnode & 1 == 1 || fnode == snode {
                hash = node(p, &hash);
                while fnode & 1 == 0 && fnode != 0 {
                    (fnode, snode) = (fnode >> 1, snode >> 1);
                }
            } else {
                hash = node(&hash, p);
            }
            (fnode, snode) = (fnode >> 1, snode >> 1);
        }
        snode == 0 && hash == *root
    }

    #[test]
    fn known_values() {
        // Certificate Transparency's own test vectors (leaves "", 00, 10, 2021, 3031, 40414243, ..).
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<Hash> = data.iter().map(|d| leaf(d)).collect();
        assert_eq!(
            hex::encode(root(&[])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex::encode(root(&leaves[..1])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex::encode(root(&leaves)),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    proptest! {
        #[test]
        fn the_frontier_tells_the_root_of_the_definition(n in 0usize..200) {
            prop_assert_eq!(root(&leaves(n)), defined(&leaves(n)));
        }

        #[test]
        fn an_inclusion_proof_holds_for_its_leaf_and_no_other(n in 1usize..200, at in 0usize..200, other in 0usize..200) {
            let (leaves, at, other) = (leaves(n), at % n, other % n);
            let path = inclusion(&leaves, at);
            prop_assert!(included(&root(&leaves), n, at, leaves[at], &path));
            prop_assert_eq!(included(&root(&leaves), n, at, leaves[other], &path), at == other);
        }
    }
}

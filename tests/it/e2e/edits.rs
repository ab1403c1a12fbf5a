//! Several edits in one file, of which the seeder sends no more than the pieces they touch and one between each.

use super::{Tree, World, noise};

/// Bytes of a piece, as the world's torrents have them.
const PIECE: u64 = 32 << 10;

/// The bytes with `count` edits in them, far from each other: some put in, some taken out, some replaced.
fn edited(old: &[u8], count: usize) -> Vec<u8> {
    let mut chance = fastrand::Rng::with_seed(count as u64);
    let mut new = Vec::new();
    let mut from = 0;
    for nth in 1..=count {
        let to = old.len() * nth / (count + 1) + chance.usize(..5_000);
        new.extend(&old[from..to]);
        let bytes = noise(nth as u64, chance.usize(1..200));
        new.extend(&bytes);
        from = match nth % 3 {
            0 => to,
            1 => to + bytes.len(),
            _ => to + chance.usize(..300),
        };
    }
    new.extend(&old[from..]);
    new
}

#[test]
fn of_a_file_with_many_edits_little_more_than_the_edits_is_fetched() {
    let old = noise(50, 12 << 20);
    let world =
        World::with(&Tree::default().with("big.pak", old.clone()).with("a.txt", noise(1, 9)));
    for count in [1, 2, 5, 12] {
        let new = Tree::default().with("big.pak", edited(&old, count)).with("a.txt", noise(1, 9));
        let seeded = world.publish(&new);
        world.modsync("sync").exits(0);
        world.has(&new);
        let pieces = world.seeder.sent(&seeded).div_ceil(PIECE);
        assert!(pieces <= 2 * count as u64 + 2, "{count} edits cost {pieces} pieces");
        world.modsync("rollback").exits(0);
        world.modsync("verify").exits(0);
    }
}

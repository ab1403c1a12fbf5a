//! The demo, as a visitor runs it.

use std::time::{Duration, Instant};

use super::{Tree, World};

#[test]
fn the_demo_tells_the_whole_story_within_a_minute_and_leaves_nothing() {
    let world = World::new();
    let start = Instant::now();
    let told = world.modsync("demo");
    assert!(start.elapsed() < Duration::from_mins(1));
    for words in [
        "modsync sync",
        "update available",
        "1 new, 1 changed, 1 removed",
        "corrupt",
        "repaired",
        "byte for byte",
    ] {
        told.exits(0).says(words);
    }
    assert_eq!(Tree::read(&world.at("tmp")), Tree::default());
    assert!(!world.at("state").exists(), "it touched the player's own state");
}

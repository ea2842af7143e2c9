//! The engine's signalling machine against the real registry, in simulated time: viewers meet, links agree on both
//! ends, a restart is survived.

mod world;

use hlswarm::time::Span;

use world::World;

#[test]
fn two_viewers_meet_within_a_second_and_have_one_link() {
    for seed in 0..100 {
        let mut world = World::new(seed, &[true]);
        world.join(0);
        // From the same moment to one after the other.
        world.join(seed * 7);
        world.run(700 + 1000);
        assert_eq!(world.check_links(), 1, "seed {seed}");
        let second = &world.viewers[1];
        assert!(second.first_link.unwrap().since(second.started) < Span::from_secs(1), "seed {seed}");
        world.run(300_000);
        assert_eq!(world.check_links(), 1);
        let created: usize = world.viewers.iter().map(|viewer| viewer.created).sum();
        assert!(created <= 12, "{created} offers for one link");
    }
}

#[test]
fn a_small_swarm_becomes_a_full_mesh_without_a_second_link_to_anybody() {
    for seed in 0..10 {
        let mut world = World::new(seed, &[true]);
        for viewer in 0..12 {
            world.join(viewer * 100);
        }
        world.run(5000);
        let early = world.check_links();
        world.run(60_000);
        let links = world.check_links();
        // The tracker chooses at random who gets an offer: the last links take a while.
        assert!(
            early >= 55 && links >= 62,
            "of 66 links {early} after 5 s, {links} after a minute, seed {seed}"
        );
        assert!(world.viewers.iter().all(|viewer| viewer.failed.is_empty()));
        // All are linked: offers stop.
        let created: usize = world.viewers.iter().map(|viewer| viewer.created).sum();
        world.run(600_000);
        let later: usize = world.viewers.iter().map(|viewer| viewer.created).sum();
        assert!(
            later - created <= 12 * 6,
            "{} offers in ten minutes with nobody left to link",
            later - created
        );
    }
}

#[test]
fn a_flash_crowd_gets_its_first_links_within_two_seconds() {
    let mut world = World::new(1, &[true]);
    for viewer in 0..100 {
        world.join(viewer * 20);
    }
    world.run(4000);
    world.check_links();
    let slow = world
        .viewers
        .iter()
        .filter(|viewer| viewer.first_link.is_none_or(|at| at.since(viewer.started) > Span::from_secs(2)));
    assert!(slow.count() <= 2);
    world.run(120_000);
    world.check_links();
    let poor = world.viewers.iter().filter(|viewer| viewer.up.len() < 10).count();
    assert!(poor <= 5, "{poor} of 100 viewers have fewer than 10 links after two minutes");
    assert!(world.viewers.iter().all(|viewer| viewer.up.len() <= 31));
}

#[test]
fn several_trackers_with_the_same_viewers_make_no_second_links() {
    for seed in 0..10 {
        let mut world = World::new(seed, &[true, false, true]);
        for viewer in 0..6 {
            world.join(viewer * 30);
        }
        world.run(3000);
        assert_eq!(world.check_links(), 15, "seed {seed}");
        assert_eq!(world.viewers[0].signal.swarm_size(), Some(6));
    }
}

#[test]
fn a_tracker_restart_keeps_links_and_brings_viewers_back() {
    let mut world = World::new(3, &[true]);
    for viewer in 0..100 {
        world.join(viewer * 20);
    }
    world.run(60_000);
    let links = world.check_links();
    world.kill(0);
    world.run(8000);
    assert_eq!(world.check_links(), links);
    for viewer in &mut world.viewers {
        viewer.announced = None;
    }
    world.revive(0);
    let back = world.now;
    world.run(15_000);
    let announced: Vec<_> = world.viewers.iter().filter_map(|viewer| viewer.announced).collect();
    assert!(announced.len() >= 95, "{} of 100 back within 15 s", announced.len());
    let first_second = announced.iter().filter(|at| at.since(back) < Span::from_secs(1)).count();
    assert!(first_second < 50, "{first_second} in the first second");
    world.check_links();
}

#[test]
fn a_viewer_that_leaves_is_replaced_by_those_who_come() {
    let mut world = World::new(4, &[true]);
    for viewer in 0..4 {
        world.join(viewer * 50);
    }
    world.run(5000);
    assert_eq!(world.check_links(), 6);
    world.leave(0);
    world.run(1000);
    assert_eq!(world.check_links(), 3);
    world.join(0);
    world.run(2000);
    assert_eq!(world.check_links(), 6);
}

#[test]
fn candidates_reach_the_other_end() {
    let mut world = World::new(5, &[true]);
    world.trickle = true;
    // Descriptions alone do not connect.
    world.reachable = |_, _| false;
    world.join(0);
    world.join(300);
    world.run(2000);
    assert!(world.viewers[0].candidates.iter().any(|text| text.contains("candidate:1")));
    assert!(world.viewers[1].candidates.iter().any(|text| text.contains("candidate:0")));
}

#[test]
fn unreachable_peers_are_not_tried_for_ever() {
    let mut world = World::new(6, &[true]);
    // The first three cannot reach each other, and all reach the others.
    world.reachable = |a, b| a >= 3 || b >= 3;
    for viewer in 0..6 {
        world.join(viewer * 50);
    }
    world.run(120_000);
    assert_eq!(world.check_links(), 12);
    world.run(3_600_000);
    assert_eq!(world.check_links(), 12);
    for viewer in &world.viewers[..3] {
        assert!((1..=40).contains(&viewer.failed.len()), "{} failures in an hour", viewer.failed.len());
    }
}

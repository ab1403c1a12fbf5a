//! What the user is told of between two snapshots: everything once, and nothing that is no news.

use modsync::model::command::{Approval, Command};
use modsync::model::fault::{Fault, FaultKind};
use modsync::model::snapshot::{NoticeKinds, PackView, Phase, Question, Snapshot};
use modsync::ui::menu::Action;
use modsync::ui::notices::{Change, Notice, between};

use crate::views::{
    applied, asked, fault, in_phase, offered, pack, progress, release, snapshot, verdict, waiting,
};

#[test]
fn an_update_is_offered() {
    let news = told(&[pack("p"), in_phase(Phase::Checking), offered("p")]);
    let apply = ask("p", Command::Apply { approve: Approval::None });
    assert_eq!(
        news,
        [Change::Show(Notice {
            key: "p/update".to_owned(),
            title: "p: an update is available".to_owned(),
            body: "12 new, 3 changed, 1 removed · 412 MB to download".to_owned(),
            offers: vec![offer("Update now", Some(apply.clone())), offer("Later", None)],
            click: Some(apply),
            stays: true,
        })]
    );
}

#[test]
fn a_decision_is_asked_for_with_exactly_the_plan_that_it_is_about() {
    let approve = Approval::Plan("plan-7".to_owned());
    let remove = ask("p", Command::Apply { approve });
    assert_eq!(
        told(&[pack("p"), asked("p")]),
        [Change::Show(Notice {
            key: "p/update".to_owned(),
            title: "p: you must decide".to_owned(),
            body: "The new release removes 812 of 900 files. Do this.".to_owned(),
            offers: vec![
                offer("Remove 812 files and update", Some(remove)),
                offer("Keep them", None)
            ],
            click: None,
            stays: true,
        })]
    );
}

#[test]
fn a_question_about_another_plan_takes_the_place_of_the_former() {
    let mut other = asked("p");
    other.question = other.question.map(|q| Question { plan: "plan-8".to_owned(), ..q });
    let news = told(&[asked("p"), asked("p"), other]);
    assert_eq!(
        brief(&news),
        ["show p/update: you must decide [Remove 812 files and update, Keep them]"]
    );
    let Change::Show(notice) = &news[0] else { panic!("{news:?}") };
    let approve = Approval::Plan("plan-8".to_owned());
    assert_eq!(notice.offers[0].1, Some(ask("p", Command::Apply { approve })));
}

#[test]
fn an_update_was_applied() {
    let installed =
        PackView { installed: Some(release(2)), last_apply: Some(applied(2)), ..pack("p") };
    let fetching = PackView { phase: Phase::Fetching { progress: progress(4) }, ..offered("p") };
    let applying = PackView { phase: Phase::Applying { progress: progress(9) }, ..offered("p") };
    assert_eq!(
        told(&[offered("p"), fetching, applying, installed]),
        [Change::Show(Notice {
            key: "p/update".to_owned(),
            title: "p: Pack (02020202) is installed".to_owned(),
            body: "12 new, 3 changed, 1 removed · 400 MB downloaded".to_owned(),
            offers: Vec::new(),
            click: Some(Action::OpenFolder("p".to_owned())),
            stays: false,
        })]
    );
}

#[test]
fn a_verification_has_ended() {
    let right = PackView { last_verify: Some(verdict(0)), ..pack("p") };
    let wrong = PackView { last_verify: Some(verdict(1)), ..pack("p") };
    let repaired = PackView { last_apply: Some(applied(1)), ..pack("p") };
    let notice = |title: &str, body: &str, offers, stays| Notice {
        key: "p/verify".to_owned(),
        title: title.to_owned(),
        body: body.to_owned(),
        offers,
        click: None,
        stays,
    };
    let repair = vec![offer("Repair", Some(ask("p", Command::Verify { repair: true })))];
    assert_eq!(
        told(&[pack("p"), right, wrong.clone()]),
        [
            Change::Show(notice("p: all 900 files are right", "", Vec::new(), false)),
            Change::Show(notice("p: 1 file not right", "A repair downloads 1 MB.", repair, true)),
        ]
    );
    // What was found is settled by the repair.
    assert_eq!(brief(&told(&[wrong, repaired])), ["close p/verify", "show p/update: repaired []"]);
}

#[test]
fn a_fault_that_needs_the_user_is_told_once_however_often_it_is_tried_again() {
    let in_use = waiting("p", FaultKind::FileInUse, "`a.pak` is in use");
    let again = PackView { phase: Phase::Applying { progress: progress(1) }, ..in_use.clone() };
    let another_file = waiting("p", FaultKind::FileInUse, "`b.pak` is in use");
    let mut times = vec![pack("p")];
    for _ in 0..3 {
        times.extend([in_use.clone(), again.clone(), another_file.clone()]);
    }
    assert_eq!(
        told(&times),
        [Change::Show(Notice {
            key: "p/fault".to_owned(),
            title: "p: `a.pak` is in use".to_owned(),
            body: "Do this.".to_owned(),
            offers: Vec::new(),
            click: Some(Action::OpenFolder("p".to_owned())),
            stays: true,
        })]
    );
    let full = waiting("p", FaultKind::DiskFull, "the disk is full");
    assert_eq!(brief(&told(&[in_use, full])), ["show p/fault: the disk is full []"]);
}

#[test]
fn that_it_is_over_is_told_once_and_only_when_all_is_well() {
    let full = waiting("p", FaultKind::DiskFull, "the disk is full");
    let normal = "show p/fault: back to normal []";
    assert_eq!(brief(&told(&[full.clone(), pack("p"), pack("p")])), [normal]);
    let offline = waiting("p", FaultKind::OriginUnreachable, "the origin does not answer");
    assert_eq!(brief(&told(&[full.clone(), offline, pack("p")])), ["close p/fault"]);
    assert_eq!(
        brief(&told(&[full.clone(), asked("p")])),
        [
            "close p/fault",
            "show p/update: you must decide [Remove 812 files and update, Keep them]"
        ]
    );
    // Who pauses mends nothing.
    let paused = PackView { paused: true, ..in_phase(Phase::Paused) };
    assert_eq!(brief(&told(&[full, paused, pack("p")])), ["close p/fault"]);
}

#[test]
fn what_passes_by_itself_is_no_news() {
    let offline = waiting("p", FaultKind::OriginUnreachable, "the origin does not answer");
    let checking = in_phase(Phase::Checking);
    assert_eq!(told(&[pack("p"), offline.clone(), checking.clone(), offline, pack("p")]), []);
}

#[test]
fn a_check_that_found_nothing_is_no_news_nor_is_the_same_update_again() {
    let checking = in_phase(Phase::Checking);
    assert_eq!(told(&[pack("p"), checking.clone(), pack("p")]), []);
    let offered = offered("p");
    let checking = PackView { phase: Phase::Checking, ..offered.clone() };
    let paused = PackView { paused: true, phase: Phase::Paused, ..offered.clone() };
    assert_eq!(told(&[offered.clone(), checking, paused, offered]), []);
}

#[test]
fn an_update_is_told_when_its_size_is_known_and_a_newer_one_again() {
    let unplanned = PackView { summary: None, ..offered("p") };
    let update = "show p/update: an update is available [Update now, Later]";
    assert_eq!(brief(&told(&[pack("p"), unplanned.clone(), offered("p")])), [update]);
    let newer = PackView { offered: Some(release(3)), ..offered("p") };
    let newer_unplanned = PackView { summary: None, ..newer.clone() };
    assert_eq!(brief(&told(&[offered("p"), newer_unplanned, newer])), ["close p/update", update]);
}

#[test]
fn an_update_that_applies_itself_is_told_when_it_is_applied() {
    let auto = |pack: PackView| PackView { auto_apply: true, ..pack };
    let applied =
        PackView { installed: Some(release(2)), last_apply: Some(applied(2)), ..pack("p") };
    assert_eq!(
        brief(&told(&[auto(pack("p")), auto(offered("p")), auto(applied)])),
        ["show p/update: Pack (02020202) is installed []"]
    );
    // But it asks like any other.
    assert_eq!(
        brief(&told(&[auto(pack("p")), auto(asked("p"))])),
        ["show p/update: you must decide [Remove 812 files and update, Keep them]"]
    );
}

#[test]
fn an_update_that_the_user_went_back_from_is_not_offered() {
    let held = PackView { held: true, phase: Phase::Current, ..offered("p") };
    assert_eq!(told(&[pack("p"), held.clone()]), []);
    assert_eq!(brief(&told(&[offered("p"), held])), ["close p/update"]);
}

#[test]
fn a_question_that_is_settled_leaves_the_screen_and_the_update_is_offered() {
    assert_eq!(brief(&told(&[asked("p"), pack("p")])), ["close p/update"]);
    assert_eq!(
        brief(&told(&[asked("p"), offered("p")])),
        ["show p/update: an update is available [Update now, Later]"]
    );
}

#[test]
fn after_a_start_what_waits_for_the_user_is_told_and_what_has_happened_is_not() {
    let history = |pack: PackView| PackView {
        last_apply: Some(applied(1)),
        last_verify: Some(verdict(3)),
        ..pack
    };
    let starting = |pack: PackView| PackView { phase: Phase::Starting, ..pack };
    for (now, wanted) in [
        (pack("p"), &[][..]),
        (offered("p"), &["show p/update: an update is available [Update now, Later]"]),
        (asked("p"), &["show p/update: you must decide [Remove 812 files and update, Keep them]"]),
        (
            waiting("p", FaultKind::FolderGone, "the folder is gone"),
            &["show p/fault: the folder is gone []"],
        ),
    ] {
        let now = history(now);
        let nothing = Snapshot::default();
        let begun = snapshot(&[starting(now.clone())]);
        assert_eq!(between(&nothing, &begun), []);
        for before in [&nothing, &begun] {
            assert_eq!(brief(&between(before, &snapshot(std::slice::from_ref(&now)))), wanted);
        }
    }
}

#[test]
fn the_notices_of_a_pack_that_is_no_longer_followed_leave_the_screen() {
    let packs = [
        pack("a"),
        offered("b"),
        PackView { last_verify: Some(verdict(3)), ..pack("c") },
        waiting("d", FaultKind::DiskFull, "the disk is full"),
    ];
    assert_eq!(
        brief(&between(&snapshot(&packs), &Snapshot::default())),
        ["close b/update", "close c/verify", "close d/fault"]
    );
}

#[test]
fn each_pack_has_its_own_news_and_a_snapshot_that_was_skipped_loses_none() {
    let old = [pack("a"), offered("b"), pack("c")];
    let new = [
        offered("a"),
        PackView {
            installed: Some(release(2)),
            last_apply: Some(applied(2)),
            last_verify: Some(verdict(0)),
            ..waiting("b", FaultKind::DiskFull, "the disk is full")
        },
        pack("c"),
    ];
    assert_eq!(
        brief(&between(&snapshot(&old), &snapshot(&new))),
        [
            "show a/update: an update is available [Update now, Later]",
            "show b/update: Pack (02020202) is installed []",
            "show b/verify: all 900 files are right []",
            "show b/fault: the disk is full []",
        ]
    );
}

#[test]
fn a_mistake_in_the_settings_is_told_once_and_leaves_the_screen_when_it_is_mended() {
    let fault = |what: &str| Some(Fault::new(FaultKind::Refused, what, "Mend it."));
    let broken = |what| Snapshot { config_fault: fault(what), ..snapshot(&[pack("p")]) };
    let good = snapshot(&[pack("p")]);
    let news = between(&good, &broken("line 3: no"));
    let told = Notice {
        key: "settings".to_owned(),
        title: "ModSync: the settings have a mistake".to_owned(),
        body: "Line 3: no. Mend it.".to_owned(),
        offers: vec![offer("Edit settings", Some(Action::EditSettings))],
        click: Some(Action::EditSettings),
        stays: true,
    };
    assert_eq!(news, [Change::Show(told)]);
    assert_eq!(between(&broken("line 3: no"), &broken("line 3: no")), []);
    assert_eq!(between(&broken("line 3: no"), &broken("line 4: no")).len(), 1);
    let mended = between(&broken("line 3: no"), &good);
    assert_eq!(mended, [Change::Close("settings".to_owned())]);
}

#[test]
fn each_kind_can_be_switched_off() {
    let all = NoticeKinds::default();
    let full = waiting("p", FaultKind::DiskFull, "the disk is full");
    let applied = PackView { last_apply: Some(applied(1)), ..pack("p") };
    let verified = PackView { last_verify: Some(verdict(1)), ..pack("p") };
    let kinds: [(PackView, PackView, NoticeKinds, &[&str]); 6] = [
        (pack("p"), offered("p"), NoticeKinds { update: false, ..all }, &[]),
        (pack("p"), applied, NoticeKinds { applied: false, ..all }, &[]),
        (pack("p"), verified, NoticeKinds { verified: false, ..all }, &[]),
        (pack("p"), asked("p"), NoticeKinds { decision: false, ..all }, &[]),
        (pack("p"), full.clone(), NoticeKinds { fault: false, ..all }, &[]),
        // What was said is taken back all the same.
        (full, pack("p"), NoticeKinds { recovered: false, ..all }, &["close p/fault"]),
    ];
    for (old, new, notices, wanted) in kinds {
        let (old, new) = (snapshot(&[old]), snapshot(&[new]));
        assert_eq!(between(&old, &new).len(), 1, "{new:?}");
        assert_eq!(brief(&between(&old, &Snapshot { notices, ..new })), wanted);
    }
}

#[test]
fn foreign_words_are_in_the_value_as_they_are() {
    let name = "R&D <b>mods</b>";
    let now =
        PackView { fault: Some(fault(FaultKind::FileInUse, "`a&b.pak` is in use")), ..pack(name) };
    let news = told(&[pack(name), now]);
    let Change::Show(notice) = &news[0] else { panic!("{news:?}") };
    assert_eq!(notice.title, "R&D <b>mods</b>: `a&b.pak` is in use");
    assert_eq!(notice.click, Some(Action::OpenFolder(name.to_owned())));
}

/// What is told while one pack goes from each of these to the next.
fn told(times: &[PackView]) -> Vec<Change> {
    let times: Vec<Snapshot> =
        times.iter().map(|pack| snapshot(std::slice::from_ref(pack))).collect();
    times.windows(2).flat_map(|pair| between(&pair[0], &pair[1])).collect()
}

/// A line for each change, with the labels of what is offered.
fn brief(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| match change {
        Change::Close(key) => format!("close {key}"),
        Change::Show(notice) => {
            let (_, title) = notice.title.split_once(": ").unwrap();
            let offers: Vec<&str> = notice.offers.iter().map(|(label, _)| &**label).collect();
            format!("show {}: {title} [{}]", notice.key, offers.join(", "))
        }
    };
    changes.iter().map(line).collect()
}

fn ask(pack: &str, command: Command) -> Action {
    Action::Ask(pack.to_owned(), command)
}

fn offer(label: &str, action: Option<Action>) -> (String, Option<Action>) {
    (label.to_owned(), action)
}

//! Notices on a screen: a bus of the test's own, a service that behaves as badly as real ones do, and the
//! real dunst.

pub mod dunst;
pub mod service;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use modsync::model::command::{Approval, Command};
use modsync::ui::icon::Picture;
use modsync::ui::menu::Action;
use modsync::ui::notices::{Change, Notice};
use modsync::ui::toast::{Setup, Toasts};
use tracing_subscriber::fmt::MakeWriter;

use crate::desktop::bus::Bus;

use dunst::Dunst;
use service::{Asked, DISMISSED, EXPIRED, Manners, Service, Shown, Signal};

/// How long anything on a screen may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_notice_has_its_words_its_offers_and_the_icon() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    let shown = screen.service.shown();
    let offers = ["default", "Update now", "1.0", "Update now", "1.1", "Later"];
    assert_eq!(
        shown,
        Shown {
            id: 1,
            replaces: 0,
            icon: "/usr/share/modsync.png".to_owned(),
            title: "p: an update is available".to_owned(),
            body: "1 new".to_owned(),
            offers: offers.map(str::to_owned).to_vec(),
            hints: vec!["desktop-entry".to_owned(), "image-data".to_owned()],
            timeout: 0,
        }
    );
    screen.show(Notice { stays: false, click: None, offers: Vec::new(), ..update("p") });
    let shown = screen.service.shown();
    assert_eq!((shown.timeout, shown.offers), (-1, Vec::new()));
}

#[test]
fn the_next_notice_of_a_key_comes_in_the_place_of_the_former_and_another_beside_it() {
    let screen = Screen::new(Manners::default());
    let replaced: Vec<u32> = ["p", "q", "p", "q", "p"]
        .map(|pack| {
            screen.show(update(pack));
            screen.service.shown().replaces
        })
        .to_vec();
    assert_eq!(replaced, [0, 0, 1, 2, 1]);
}

#[test]
fn names_are_shown_as_they_are_whether_the_service_reads_markup_or_not() {
    let names = "Tom & <b>Jerry</b>";
    for (abilities, body) in [
        (["body", "body-markup"], "Tom &amp; &lt;b&gt;Jerry&lt;/b&gt;"),
        (["body", "body-images"], names),
    ] {
        let abilities: &'static [&'static str] = Box::leak(Box::new(abilities));
        let screen = Screen::new(Manners { abilities, ..Manners::default() });
        let said = Notice { title: names.to_owned(), body: names.to_owned(), ..update("p") };
        screen.show(said);
        let shown = screen.service.shown();
        assert_eq!((&*shown.title, &*shown.body), (names, body));
        // Nor has it buttons.
        assert_eq!(shown.offers, Vec::<String>::new());
    }
}

#[test]
fn what_is_over_is_taken_off_and_what_never_was_shown_is_not() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    screen.service.shown();
    screen.toasts.show(Change::Close("q/update".to_owned()));
    screen.toasts.show(Change::Close("p/update".to_owned()));
    assert_eq!(screen.service.asked(), Asked::Close(1));
    screen.show(update("p"));
    assert_eq!(screen.service.shown().replaces, 0);
}

#[test]
fn each_offer_brings_its_action_and_later_brings_none_and_the_notice_goes() {
    let screen = Screen::new(Manners::default());
    let [p, q, r] = ["p", "q", "r"].map(|pack| {
        screen.show(update(pack));
        screen.service.shown()
    });
    screen.service.click(&p, "Later");
    screen.service.send(&[Signal::Clicked(q.id, "default".to_owned())]);
    screen.service.send(&[Signal::Clicked(r.id, r.offers[2].clone())]);
    assert_eq!(screen.chosen(), apply("q"));
    assert_eq!(screen.chosen(), apply("r"));
    assert_eq!(screen.chosen_besides(), []);
    // Not every service takes off by itself what was clicked.
    for shown in [p, q, r] {
        assert_eq!(screen.service.asked(), Asked::Close(shown.id));
    }
}

#[test]
fn a_click_that_comes_right_behind_the_answer_and_behind_those_of_others_is_heard() {
    for broadcasts in [true, false] {
        let reflex = |id, names: &[String]| {
            vec![
                Signal::Clicked(id + 900_000, names[1].clone()),
                Signal::Closed(id + 900_000, DISMISSED),
                Signal::Clicked(id, names[1].clone()),
                Signal::Closed(id, DISMISSED),
            ]
        };
        let screen = Screen::new(Manners { broadcasts, reflex, ..Manners::default() });
        for n in 0..100 {
            let pack = format!("p{}", n % 10);
            screen.show(update(&pack));
            assert_eq!(screen.chosen(), apply(&pack));
        }
        assert_eq!(screen.chosen_besides(), []);
    }
}

#[test]
fn clicks_on_thirty_notices_that_close_at_once_are_all_heard() {
    for broadcasts in [true, false] {
        let screen = Screen::new(Manners { broadcasts, ..Manners::default() });
        let packs: Vec<String> = (0..30).map(|n| format!("p{n}")).collect();
        packs.iter().for_each(|pack| screen.show(update(pack)));
        let shown: Vec<Shown> = packs.iter().map(|_| screen.service.shown()).collect();
        let signals = shown.iter().flat_map(|shown| {
            let click = Signal::Clicked(shown.id, shown.offer("Update now"));
            [click, Signal::Closed(shown.id, DISMISSED)]
        });
        screen.service.send(&signals.collect::<Vec<_>>());
        packs.iter().for_each(|pack| assert_eq!(screen.chosen(), apply(pack)));
    }
}

#[test]
fn a_click_on_what_stood_there_before_is_taken_for_what_it_was() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    let former = screen.service.shown();
    let approve = Approval::Plan("plan-1".to_owned());
    let remove = Action::Ask("p".to_owned(), Command::Apply { approve });
    let offers = vec![("Remove 812 files and update".to_owned(), Some(remove.clone()))];
    screen.show(Notice { offers, click: None, ..update("p") });
    let new = screen.service.shown();
    assert_eq!(new.id, former.id);
    screen.service.send(&[
        Signal::Clicked(former.id, former.offers[2].clone()),
        Signal::Clicked(new.id, new.offers[0].clone()),
    ]);
    assert_eq!(screen.chosen(), apply("p"));
    assert_eq!(screen.chosen(), remove);
    assert_eq!(screen.service.asked(), Asked::Close(new.id));
    assert_eq!(screen.service.asked_besides(), []);
}

#[test]
fn what_the_user_has_closed_is_not_replaced() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    screen.show(update("q"));
    let (p, q) = (screen.service.shown(), screen.service.shown());
    let click = Signal::Clicked(q.id, q.offer("Update now"));
    screen.service.send(&[Signal::Closed(p.id, DISMISSED), click]);
    screen.chosen();
    assert_eq!(screen.service.asked(), Asked::Close(q.id));
    screen.show(update("p"));
    assert_eq!(screen.service.shown().replaces, 0);
}

#[test]
fn a_notice_whose_time_is_over_can_still_be_clicked_in_the_list_of_those() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    let shown = screen.service.shown();
    screen.service.send(&[Signal::Closed(shown.id, EXPIRED)]);
    screen.service.click(&shown, "Update now");
    assert_eq!(screen.chosen(), apply("p"));
}

#[test]
fn nobody_but_the_service_can_click() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    screen.show(update("q"));
    let (p, q) = (screen.service.shown(), screen.service.shown());
    let stranger = screen.bus.connect().into_inner();
    screen.service.forged(&stranger, &Signal::Clicked(p.id, p.offer("Update now")));
    screen.service.click(&q, "Update now");
    assert_eq!(screen.chosen(), apply("q"));
    assert_eq!(screen.chosen_besides(), []);
}

#[test]
fn of_a_notice_that_changes_faster_than_it_is_shown_the_last_is_shown() {
    let screen = Screen::new(Manners { is_slow: true, ..Manners::default() });
    screen.show(Notice { body: "0".to_owned(), ..update("p") });
    assert_eq!(screen.service.shown().body, "0");
    for n in 1..=1000 {
        screen.show(Notice { body: n.to_string(), ..update("p") });
    }
    screen.show(update("q"));
    screen.toasts.show(Change::Close("q/update".to_owned()));
    (0..2).for_each(|_| screen.service.go_on());
    assert_eq!(screen.service.shown().body, "1000");
    screen.show(update("r"));
    screen.service.go_on();
    // What was over before it was shown never is.
    assert_eq!(screen.service.shown().title, "r: an update is available");
}

#[test]
fn where_nobody_shows_notices_the_log_says_so_once_and_what_stays_is_shown_to_who_comes() {
    let bus = Bus::start();
    let (log, lines) = Log::new();
    let (toasts, actions) = log.hears(|| start(bus.address()));
    toasts.show(Change::Show(Notice { stays: false, ..update("passes") }));
    toasts.show(Change::Show(update("p")));
    toasts.show(Change::Show(update("over")));
    toasts.show(Change::Close("over/update".to_owned()));
    let warning = lines.recv_timeout(PATIENCE).unwrap();
    assert!(warning.contains("WARN modsync::ui::toast: notices cannot be shown: "), "{warning}");
    let service = Service::start(&bus, Manners::default());
    let shown = service.shown();
    assert_eq!(shown.title, "p: an update is available");
    service.click(&shown, "Update now");
    assert_eq!(actions.recv_timeout(PATIENCE).unwrap(), apply("p"));
    assert_eq!(service.asked(), Asked::Close(shown.id));
    assert_eq!(service.asked_besides(), []);
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_service_that_starts_anew_counts_anew_and_nothing_is_mixed_up() {
    let mut screen = Screen::new(Manners::default());
    screen.show(update("p"));
    screen.show(update("q"));
    let former = (screen.service.shown(), screen.service.shown());
    screen.restart_service();
    screen.show(update("q"));
    let new = screen.service.shown();
    assert_eq!((new.id, new.replaces), (former.0.id, 0));
    screen.service.send(&[
        Signal::Clicked(former.0.id, former.0.offers[2].clone()),
        Signal::Clicked(former.1.id, former.1.offers[2].clone()),
        Signal::Clicked(new.id, new.offers[2].clone()),
    ]);
    assert_eq!(screen.chosen(), apply("q"));
    assert_eq!(screen.chosen_besides(), []);
}

#[test]
fn a_notice_that_a_dying_service_did_not_show_is_shown_by_the_next() {
    let mut screen = Screen::new(Manners { is_slow: true, ..Manners::default() });
    screen.show(Notice { stays: false, ..update("p") });
    screen.service.shown();
    screen.restart_service();
    assert_eq!(screen.service.shown().title, "p: an update is available");
}

#[test]
fn a_service_that_never_answers_is_given_up_with_one_warning_and_the_next_shows_what_waits() {
    let bus = Bus::start();
    let mute = Service::start(&bus, Manners { is_slow: true, ..Manners::default() });
    let (log, lines) = Log::new();
    let impatient = Setup { patience: Some(Duration::from_secs(1)), ..setup(bus.address()) };
    let (toasts, actions) = log.hears(|| start_with(impatient));
    toasts.show(Change::Show(update("p")));
    assert_eq!(mute.shown().title, "p: an update is available");
    let warning = lines.recv_timeout(PATIENCE).unwrap();
    let words = "WARN modsync::ui::toast: notices cannot be shown: the notification service does not \
                 answer\n";
    assert!(warning.ends_with(words), "{warning}");
    toasts.show(Change::Show(update("q")));
    mute.leave();
    let service = Service::start(&bus, Manners::default());
    let mut shown = [service.shown(), service.shown()];
    shown.sort_by(|a, b| a.title.cmp(&b.title));
    let titles = shown.each_ref().map(|shown| shown.title.as_str());
    assert_eq!(titles, ["p: an update is available", "q: an update is available"]);
    service.click(&shown[0], "Update now");
    assert_eq!(actions.recv_timeout(PATIENCE).unwrap(), apply("p"));
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_service_that_answers_again_is_asked_again_for_what_it_did_not_show() {
    let bus = Bus::start();
    let service = Service::start(&bus, Manners { is_slow: true, ..Manners::default() });
    let (log, lines) = Log::new();
    let impatient = Setup { patience: Some(Duration::from_secs(1)), ..setup(bus.address()) };
    let (toasts, actions) = log.hears(|| start_with(impatient));
    toasts.show(Change::Show(update("p")));
    service.shown();
    lines.recv_timeout(PATIENCE).unwrap();
    (0..10).for_each(|_| service.go_on());
    toasts.show(Change::Show(update("q")));
    assert_eq!(service.shown().title, "q: an update is available");
    let shown = service.shown();
    assert_eq!(shown.title, "p: an update is available");
    // It is shown when the answer about the former is heard.
    toasts.show(Change::Show(update("r")));
    service.shown();
    service.click(&shown, "Update now");
    assert_eq!(actions.recv_timeout(PATIENCE).unwrap(), apply("p"));
}

#[test]
fn when_the_bus_dies_the_log_says_so_once_and_a_new_bus_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::start_in(folder.path());
    let service = Service::start(&bus, Manners::default());
    let (log, lines) = Log::new();
    let (toasts, actions) = log.hears(|| start(bus.address()));
    toasts.show(Change::Show(update("p")));
    service.shown();
    drop(bus);
    let warning = lines.recv_timeout(PATIENCE).unwrap();
    assert!(warning.contains("WARN modsync::ui::toast: notices cannot be shown: "), "{warning}");
    for n in 0..10 {
        toasts.show(Change::Show(update(&format!("lost-{n}"))));
    }
    drop(service);
    let bus = Bus::start_in(folder.path());
    let service = Service::start(&bus, Manners::default());
    toasts.show(Change::Show(update("q")));
    let shown = std::iter::repeat_with(|| service.shown())
        .find(|shown| shown.title == "q: an update is available");
    service.click(&shown.unwrap(), "Update now");
    assert_eq!(actions.recv_timeout(PATIENCE).unwrap(), apply("q"));
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn without_a_bus_nothing_waits_and_the_log_says_so_once() {
    let (log, lines) = Log::new();
    let (toasts, actions) = log.hears(|| start("unix:path=/nowhere/bus"));
    for n in 0..100 {
        toasts.show(Change::Show(update(&format!("p{n}"))));
    }
    lines.recv_timeout(PATIENCE).unwrap();
    toasts.end();
    assert_eq!(lines.try_iter().count(), 0);
    assert_eq!(actions.try_iter().count(), 0);
}

#[test]
fn at_the_end_everything_is_taken_off_the_screen() {
    let screen = Screen::new(Manners::default());
    screen.show(update("p"));
    screen.show(update("q"));
    let ids = [screen.service.shown().id, screen.service.shown().id];
    let Screen { toasts, service, .. } = screen;
    toasts.end();
    assert_eq!([service.asked(), service.asked()], ids.map(Asked::Close));
}

#[test]
fn dunst_shows_a_notice_and_its_buttons_work() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::start_in(folder.path());
    let dunst = Dunst::start(&bus, folder.path(), "Update now");
    let (toasts, actions) = start(bus.address());
    let body = "1 new & <b>big</b>";
    toasts.show(Change::Show(Notice { body: body.to_owned(), ..update("p") }));
    dunst.wait_until_shown(1);
    dunst.choose();
    assert_eq!(actions.recv_timeout(PATIENCE).unwrap(), apply("p"));
    dunst.wait_until_shown(0);
    let shown =
        ("p: an update is available".to_owned(), "1 new &amp; &lt;b&gt;big&lt;/b&gt;".to_owned());
    assert_eq!(dunst.history(), [shown]);
    toasts.show(Change::Show(update("q")));
    dunst.wait_until_shown(1);
    toasts.show(Change::Show(Notice { body: "2 new".to_owned(), ..update("q") }));
    toasts.show(Change::Show(update("r")));
    dunst.wait_until_shown(2);
    toasts.show(Change::Close("q/update".to_owned()));
    dunst.wait_until_shown(1);
    toasts.end();
    dunst.wait_until_shown(0);
}

/// Notices on a bus where a service shows them.
struct Screen {
    toasts: Toasts,
    actions: Receiver<Action>,
    service: Service,
    bus: Bus,
    manners: Manners,
}

impl Screen {
    fn new(manners: Manners) -> Self {
        let bus = Bus::start();
        let service = Service::start(&bus, manners.clone());
        let (toasts, actions) = start(bus.address());
        Self { toasts, actions, service, bus, manners }
    }

    fn show(&self, notice: Notice) {
        self.toasts.show(Change::Show(notice));
    }

    /// What the user chose next.
    #[track_caller]
    fn chosen(&self) -> Action {
        self.actions.recv_timeout(PATIENCE).expect("nothing was chosen")
    }

    fn chosen_besides(&self) -> Vec<Action> {
        self.actions.try_iter().collect()
    }

    fn restart_service(&mut self) {
        self.service.leave();
        self.service = Service::start(&self.bus, self.manners.clone());
    }
}

fn start(bus: &str) -> (Toasts, Receiver<Action>) {
    start_with(setup(bus))
}

fn setup(bus: &str) -> Setup {
    Setup {
        icon: Some(Path::new("/usr/share/modsync.png").to_owned()),
        picture: Some(Picture { rgba: vec![255; 64], width: 4, height: 4 }),
        bus: Some(bus.to_owned()),
        patience: None,
    }
}

fn start_with(setup: Setup) -> (Toasts, Receiver<Action>) {
    let (chosen, actions) = channel();
    let toasts = Toasts::start(setup, move |action| {
        let _ = chosen.send(action);
    });
    (toasts, actions)
}

fn update(pack: &str) -> Notice {
    let offers = [("Update now", Some(apply(pack))), ("Later", None)];
    Notice {
        key: format!("{pack}/update"),
        title: format!("{pack}: an update is available"),
        body: "1 new".to_owned(),
        offers: offers.map(|(label, action)| (label.to_owned(), action)).to_vec(),
        click: Some(apply(pack)),
        stays: true,
    }
}

fn apply(pack: &str) -> Action {
    Action::Ask(pack.to_owned(), Command::Apply { approve: Approval::None })
}

/// Hears what is logged while it is in force, and by threads that start then.
#[derive(Clone)]
struct Log(Sender<String>);

impl Log {
    fn new() -> (Self, Receiver<String>) {
        let (say, lines) = channel();
        (Self(say), lines)
    }

    fn hears<T>(&self, what: impl FnOnce() -> T) -> T {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(self.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .finish();
        tracing::subscriber::with_default(subscriber, what)
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

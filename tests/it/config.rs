//! `config.toml`: what it means, what is refused in which words, and what editing leaves alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modsync::config::{
    Config, ConfigError, EXAMPLE, Network, NewPack, Trackers, add_pack, load, parse, remove_pack,
};
use modsync::model::pack::{PackConfig, Policy};
use modsync::model::snapshot::NoticeKinds;

/// A folder with a `config.toml` to be, a state folder and room for packs.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(&self) -> PathBuf {
        self.at("config.toml")
    }

    fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        parse(text, &self.file(), &self.at("state"))
    }

    /// The reason without the file's name.
    fn refusal(&self, text: &str) -> String {
        let error = self.parse(text).expect_err(text);
        assert!(error.hint().ends_with(['.', '\'']), "{}", error.hint());
        let message = error.to_string();
        let start = format!("could not use `{}`: ", self.file().display());
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    /// The text of one pack with more keys from its fourth line on.
    fn pack(&self, more: &str) -> String {
        format!(
            "[[pack]]\nurl = 'https://h/p.torrent'\nfolder = '{}'\n{more}",
            self.at("p").display()
        )
    }

    fn add(
        &self,
        url: &str,
        folder: impl Into<PathBuf>,
        name: Option<&str>,
    ) -> Result<String, ConfigError> {
        let new = NewPack { url: url.into(), folder: folder.into(), name: name.map(Into::into) };
        add_pack(&self.file(), &self.at("state"), &new).map(|pack| pack.name)
    }

    fn remove(&self, name: &str) -> Result<(), ConfigError> {
        remove_pack(&self.file(), &self.at("state"), name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let config = load(&self.file(), &self.at("state")).unwrap();
        config.packs.into_iter().map(|pack| pack.name).collect()
    }
}

fn home() -> PathBuf {
    directories::BaseDirs::new().unwrap().home_dir().to_owned()
}

#[test]
fn nothing_is_the_defaults() {
    let place = Place::new();
    assert_eq!(place.parse("").unwrap(), Config::default());
    assert_eq!(
        load(&place.at("no/such/file.toml"), &place.at("state")).unwrap(),
        Config::default()
    );
    let network = Network::default();
    assert!(network.dht && network.local_discovery && network.upnp && network.trackers.of_torrent);
    assert_eq!((network.listen_port, network.proxy), (None, None));
    assert_eq!(network.give_up_after, Duration::from_mins(1));
}

#[test]
fn the_least_is_a_url_and_a_folder() {
    let place = Place::new();
    let expected = PackConfig {
        name: "p".into(),
        url: "https://h/p.torrent".into(),
        folder: place.at("p"),
        policy: Policy::default(),
        auto_apply: false,
        auto_clean: false,
        seed: true,
        check_interval: Duration::from_mins(10),
        peers: vec![],
    };
    assert_eq!(place.parse(&place.pack("")).unwrap().packs, [expected]);
}

#[test]
fn the_example_loads_and_says_the_defaults() {
    let place = Place::new();
    let least = "[[pack]]\nurl = 'https://example.org/pack.torrent'\nfolder = '~/Games/My Pack'\n";
    let example = place.parse(EXAMPLE).unwrap();
    assert_eq!(example, place.parse(least).unwrap());
    assert_eq!(example.packs[0].name, "pack");
    assert_eq!(example.packs[0].folder, home().join("Games/My Pack"));
}

#[test]
fn the_example_names_every_key_and_its_commented_keys_are_right() {
    let place = Place::new();
    let commented = |line: &str| line.starts_with("# ") && line.contains(" = ");
    let all = EXAMPLE.lines().map(|line| if commented(line) { &line[2..] } else { line });
    let all = all.collect::<Vec<_>>().join("\n");
    let config = place.parse(&all).unwrap();
    assert_eq!(config.download_limit, Some(2 << 20));
    assert_eq!(config.upload_limit, Some(500_000));
    assert_eq!(config.network.listen_port, Some(6881));
    assert_eq!(config.network.proxy.as_deref(), Some("socks5://127.0.0.1:1080"));
    assert_eq!(config.packs[0].name, "survival");

    for unknown in ["x = 1\n", "[[pack]]\nx = 1\n", "[network]\nx = 1\n", "[notices]\nx = 1\n"] {
        let hint = place.parse(unknown).unwrap_err().hint().to_owned();
        for key in hint.split('`').skip(1).step_by(2).filter(|key| *key != "packs") {
            let key_line =
                |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
            let is_there = EXAMPLE.lines().any(key_line) || EXAMPLE.contains(&format!("[{key}]"));
            assert!(is_there, "`{key}` is not in the example");
        }
    }
}

#[test]
fn every_key_has_its_effect() {
    let place = Place::new();
    let text = place.pack(
        r#"
name = "Überleben"
ignore = ["saves/"]
keep = ["cfg/*.ini"]
auto_apply = true
auto_clean = true
seed = false
check_interval = "1h 30m"
peers = ["seed.example.org:6881", "[2001:db8::1]:1", "127.0.0.1:65535"]
max_removed_percent = 100
max_removed_files = 0
trash_age = "1d"
trash_size = 5
"#,
    ) + r#"
[network]
listen_port = 1
dht = false
local_discovery = false
trackers = ["udp://t.example.org:6969/announce"]
upnp = false
proxy = "http://me:pw@proxy:3128"
give_up_after = "5s"
[notices]
applied = false
"#;
    let config = place
        .parse(&format!("download_limit = 16384\nupload_limit = '1.5 MiB/s'\n{text}"))
        .unwrap();
    assert_eq!((config.download_limit, config.upload_limit), (Some(16384), Some(1_572_864)));
    assert_eq!(
        config.network,
        Network {
            listen_port: Some(1),
            dht: false,
            local_discovery: false,
            trackers: Trackers {
                of_torrent: true,
                extra: vec!["udp://t.example.org:6969/announce".into()]
            },
            upnp: false,
            proxy: Some("http://me:pw@proxy:3128".into()),
            give_up_after: Duration::from_secs(5),
        }
    );
    let pack = &config.packs[0];
    assert_eq!(pack.name, "Überleben");
    assert!(pack.auto_apply && pack.auto_clean && !pack.seed);
    assert_eq!(pack.check_interval, Duration::from_mins(90));
    assert_eq!(pack.peers.len(), 3);
    assert!(pack.policy.ignore.matches("a/saves/b") && pack.policy.keep.matches("cfg/a.ini"));
    assert_eq!((pack.policy.max_removed_percent, pack.policy.max_removed_files), (100, 0));
    assert_eq!((pack.policy.trash_age, pack.policy.trash_size), (Duration::from_hours(24), 5));

    assert_eq!(config.notices, NoticeKinds { applied: false, ..NoticeKinds::default() });

    let none = place.parse("[network]\ntrackers = false").unwrap().network.trackers;
    assert_eq!(none, Trackers { of_torrent: false, extra: vec![] });
}

#[test]
fn a_broken_text_is_refused_with_its_line_and_its_key() {
    let place = Place::new();
    for (text, reason) in [
        ("\n\nx = 1", "line 3: unknown key `x`"),
        ("[network]\ndht = true\nport = 5", "line 3: unknown key `port`"),
        ("a = \n", "line 1: `a`: "),
        ("[[pack]\n", "line 1: "),
        ("[pack]\nurl = 'x'", "line 1: invalid type: map, expected a sequence"),
        ("[[pack]]\nfolder = '/x'", "line 1: the key `url` is missing"),
        ("[[pack]]\nurl = 'http://h/'", "line 1: the key `folder` is missing"),
        ("[[pack]]\nurl = 5", "line 2: `url`: invalid type: integer `5`, expected a string"),
        (
            "[network]\ndht = 'yes'",
            "line 2: `dht`: invalid type: string \"yes\", expected a boolean",
        ),
        ("[network]\ndht = true\ndht = true", "line 3: "),
        ("[[pack]]\nfolder = \"C:\\Games\"", "line 2: `folder`: "),
    ] {
        let refusal = place.refusal(text);
        assert!(refusal.starts_with(reason), "{text:?}: {refusal}");
        assert!(!refusal.contains('\n'), "{refusal}");
    }
    let hint = |text: &str| place.parse(text).unwrap_err().hint().to_owned();
    assert!(hint("[network]\nport = 5").contains("`listen_port`"));
    assert!(hint("[[pack]]\nfolder = \"C:\\Games\"").contains("single quotes"));
    assert!(hint("[pack]\nurl = 'x'").contains("`[[pack]]`"));
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_line_and_its_key() {
    let place = Place::new();
    for (line, reason) in [
        ("name = ''", "`name`: it is empty"),
        ("name = \"a\\u0007\"", "`name`: it has a control character"),
        ("name = ' a'", "`name`: it begins or ends with a space"),
        ("name = '--all'", "`name`: it begins with `-`"),
        ("check_interval = '9s'", "`check_interval`: `9s` is less than 10s"),
        ("check_interval = '31d'", "`check_interval`: `31d` is more than 30 days"),
        ("check_interval = 'soon'", "`check_interval`: `soon` is not a time: "),
        ("check_interval = 600", "`check_interval`: invalid type: integer `600`"),
        ("trash_age = '-1d'", "`trash_age`: `-1d` is not a time: "),
        ("trash_size = 'big'", "`trash_size`: \"big\" is not a size"),
        ("trash_size = -1", "`trash_size`: -1 is not a size"),
        ("max_removed_percent = 101", "`max_removed_percent`: 101 is not from 0 to 100"),
        ("max_removed_files = -1", "`max_removed_files`: -1 is not from 0"),
        ("ignore = ['[a']", "`ignore`: `[a` is not a pattern: "),
        ("ignore = ['/']", "`ignore`: an empty pattern"),
        ("keep = ['']", "`keep`: an empty pattern"),
        ("keep = ['a\\b']", "`keep`: `a\\b` has a backslash"),
        ("peers = ['seed.example.org']", "`peers`: `seed.example.org` is not `host:port`"),
        ("peers = ['h:0']", "`peers`: `h:0` is not"),
        ("peers = ['h:+80']", "`peers`: `h:+80` is not"),
        ("peers = ['h:65536']", "`peers`: `h:65536` is not"),
        ("peers = ['::1:80']", "`peers`: `::1:80` is not"),
        ("peers = ['[::1:80']", "`peers`: `[::1:80` is not"),
        ("peers = [':80']", "`peers`: `:80` is not"),
        ("peers = ['http://h:80']", "`peers`: `http://h:80` is not"),
    ] {
        let refusal = place.refusal(&place.pack(line));
        assert!(refusal.starts_with(&format!("line 4: {reason}")), "{line}: {refusal}");
    }
    let long = place.refusal(&place.pack(&format!("name = '{}'", "x".repeat(65))));
    assert!(long.starts_with("line 4: `name`: it is longer than 64"), "{long}");

    for (line, reason) in [
        ("download_limit = 0", "`download_limit`: 0 is less than 16 KiB/s"),
        ("upload_limit = '15 KiB/s'", "`upload_limit`: \"15 KiB/s\" is less than 16 KiB/s"),
        ("upload_limit = '5 GiB/s'", "`upload_limit`: \"5 GiB/s\" is more than 4 GiB/s"),
        ("upload_limit = 'fast'", "`upload_limit`: \"fast\" is not a speed"),
        ("upload_limit = true", "`upload_limit`: true is not a speed"),
        ("network.listen_port = 0", "`listen_port`: 0 is not from 1 to 65535"),
        ("network.listen_port = 70000", "`listen_port`: 70000 is not from 1 to 65535"),
        ("network.trackers = 5", "`trackers`: it is neither true, false nor a list"),
        ("network.trackers = [5]", "`trackers`: 5 is not a text"),
        ("network.trackers = ['ftp://t']", "`trackers`: an address that begins with `ftp:`"),
        ("network.proxy = 'localhost'", "`proxy`: this is not an address"),
        ("network.proxy = 'ftp://me:secret@h'", "`proxy`: an address that begins with `ftp:`"),
        ("network.give_up_after = '0s'", "`give_up_after`: `0s` is less than 1s"),
    ] {
        let refusal = place.refusal(&format!("\n{line}\n"));
        assert!(refusal.starts_with(&format!("line 2: {reason}")), "{line}: {refusal}");
        assert!(!refusal.contains("secret"));
    }
}

#[test]
fn an_address_must_be_a_web_address() {
    let place = Place::new();
    let folder = place.at("p").display().to_string();
    for (url, reason) in [
        ("example.org/pack.torrent", "this is not an address"),
        ("", "this is not an address"),
        ("https://", "this is not an address"),
        ("https://h/a b.torrent", "this is not an address"),
        ("file:///etc/passwd", "an address that begins with `file:`"),
        ("magnet:?xt=urn:btih:secret", "an address that begins with `magnet:`"),
        ("http://[::1/x", "this is not an address"),
    ] {
        let refusal = place.refusal(&format!("[[pack]]\nurl = '{url}'\nfolder = '{folder}'"));
        assert!(refusal.starts_with(&format!("line 2: `url`: {reason}")), "{url}: {refusal}");
        assert!(!refusal.contains("secret"));
    }
    for url in
        ["http://h", "https://me:pw@h:8443/p?x=1", "http://[::1]:1/p", "https://мир.example/п"]
    {
        assert!(
            place.parse(&format!("[[pack]]\nurl = '{url}'\nfolder = '{folder}'")).is_ok(),
            "{url}"
        );
    }
}

#[test]
fn names_are_unique_whatever_their_case_and_derived_ones_give_way() {
    let place = Place::new();
    let packs = |names: &[&str]| {
        let mut text = String::new();
        for (n, name) in names.iter().enumerate() {
            let folder = place.at(&n.to_string());
            let _ = write!(
                text,
                "[[pack]]\nurl = 'http://h/pack.torrent'\nfolder = '{}'\n{name}\n",
                folder.display()
            );
        }
        text
    };
    let named = |names: &[&str]| {
        let packs = place.parse(&packs(names)).unwrap().packs;
        packs.into_iter().map(|pack| pack.name).collect::<Vec<_>>()
    };
    assert_eq!(named(&["", "", "name = 'Pack'", "name = 'b'"]), ["pack-2", "pack-3", "Pack", "b"]);
    let refusal = place.refusal(&packs(&["name = 'A'", "name = 'a'"]));
    assert_eq!(refusal, "line 8: `name`: there are two packs called `a`");
}

#[test]
fn dangerous_folders_are_refused() {
    let place = Place::new();
    fs::create_dir_all(place.at("state/packs")).unwrap();
    let home = home();
    let (home, temp) = (home.display(), place.folder.path().display());
    for (folder, reason) in [
        (String::new(), "`` is not a whole path"),
        ("games/pack".into(), "`games/pack` is not a whole path"),
        ("~other/pack".into(), "`~other/pack` is not a whole path"),
        ("~".into(), "`~` is your home folder"),
        ("~/".into(), "is your home folder"),
        (format!("{home}/."), "is your home folder"),
        (format!("{home}/x/.."), "is your home folder"),
        (format!("{home}/.."), "contains your home folder"),
        (format!("{temp}"), "overlaps with ModSync's own state folder"),
        (format!("{temp}/state"), "overlaps with ModSync's own state folder"),
        (format!("{temp}/state/packs/x"), "overlaps with ModSync's own state folder"),
        (format!("{temp}/x/../state"), "overlaps with ModSync's own state folder"),
        (format!("{temp}/other/.ModSync/staging"), "goes through `.modsync`"),
    ] {
        // The home folder may lie directly below the root.
        let refusal = place.refusal(&format!("[[pack]]\nurl = 'http://h/p'\nfolder = '{folder}'"));
        let expected = refusal.contains(reason) || refusal.contains("root of a drive");
        assert!(refusal.starts_with("line 3: `folder`: ") && expected, "{folder}: {refusal}");
    }
    let config_in_pack = format!("[[pack]]\nurl = 'http://h/p'\nfolder = '{temp}'");
    let refusal = parse(&config_in_pack, &place.file(), Path::new("/elsewhere")).unwrap_err();
    assert!(refusal.to_string().contains("contains the settings of ModSync"), "{refusal}");
    assert!(
        place.parse(&format!("[[pack]]\nurl = 'http://h/p'\nfolder = '{temp}/state-2'")).is_ok()
    );
}

#[cfg(unix)]
#[test]
fn a_link_does_not_hide_a_dangerous_folder() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    symlink(home(), place.at("home")).unwrap();
    symlink(place.at("state"), place.at("ours")).unwrap();
    fs::create_dir(place.at("state")).unwrap();
    for (folder, reason) in [
        (place.at("home"), "is your home folder"),
        (place.at("ours/new"), "overlaps with ModSync's own state folder"),
        ("/".into(), "is the root of a drive"),
        ("/..".into(), "is the root of a drive"),
        ("/usr".into(), "belongs to the system"),
        ("/etc/games".into(), "belongs to the system"),
        ("/usr/lib/games".into(), "belongs to the system"),
    ] {
        let text = format!("[[pack]]\nurl = 'http://h/p'\nfolder = '{}'", folder.display());
        let refusal = place.refusal(&text);
        assert!(refusal.contains(reason), "{}: {refusal}", folder.display());
    }
}

#[test]
fn a_folder_in_another_packs_folder_is_refused() {
    let place = Place::new();
    let two = |first: &str, second: &str| {
        let (first, second) = (place.at(first), place.at(second));
        format!(
            "[[pack]]\nname = 'one'\nurl = 'http://h/p'\nfolder = '{}'\n[[pack]]\nurl = 'http://h/q'\nfolder = '{}'",
            first.display(),
            second.display()
        )
    };
    for (first, second, relation) in [
        ("a", "a", "is also the folder of the pack `one`"),
        ("a", "b/../a/", "is also the folder of the pack `one`"),
        ("a", "a/b/c", "lies in the folder of the pack `one`"),
        ("a/b/c", "a", "contains the folder of the pack `one`"),
    ] {
        let refusal = place.refusal(&two(first, second));
        assert!(
            refusal.starts_with("line 7: `folder`: ") && refusal.ends_with(relation),
            "{refusal}"
        );
    }
    assert!(place.parse(&two("a", "ab")).is_ok());
    if cfg!(any(windows, target_os = "macos")) {
        assert!(place.refusal(&two("a", "A/b")).ends_with("lies in the folder of the pack `one`"));
    }
}

#[test]
fn adding_makes_the_file_and_keeps_every_byte_of_it() {
    let place = Place::new();
    let (file, state) = (place.at("deep/er/config.toml"), place.at("state"));
    let new =
        NewPack { url: "https://h/My%20Pack.torrent".into(), folder: place.at("one"), name: None };
    assert_eq!(add_pack(&file, &state, &new).unwrap().name, "My Pack");
    assert_eq!(load(&file, &state).unwrap().packs[0].folder, place.at("one"));

    for (before, gap) in [
        (
            "# mine\ndownload_limit = \"1 MiB/s\" # slow\n\n[network]\ndht = false\n# upnp = true\n",
            "\n",
        ),
        ("# no newline at the end", "\n\n"),
        ("", ""),
    ] {
        fs::write(place.file(), before).unwrap();
        assert_eq!(place.add("https://h/a.torrent", place.at("x \"'\\ü"), None).unwrap(), "a");
        let text = place.text();
        assert!(
            text.starts_with(&format!("{before}{gap}[[pack]]\nname = \"a\"\nurl = ")),
            "{text}"
        );
        assert_eq!(load(&place.file(), &state).unwrap().packs[0].folder, place.at("x \"'\\ü"));
        assert_eq!(place.add("https://h/a.torrent", place.at("y"), None).unwrap(), "a-2");
        assert_eq!(place.add("https://h/a.torrent", place.at("z"), Some("Zed")).unwrap(), "Zed");
        assert_eq!(place.names(), ["a", "a-2", "Zed"]);
    }
}

#[test]
fn adding_fits_the_files_own_way_of_writing() {
    let place = Place::new();
    fs::write(place.file(), "# mine\r\n").unwrap();
    place.add("http://h/a", place.at("a"), None).unwrap();
    assert!(!place.text().replace("\r\n", "").contains('\n'), "{:?}", place.text());

    for (before, added) in [
        (
            format!("[[packs]]\nurl = 'http://h/a'\nfolder = '{}'\n", place.at("a").display()),
            "\n[[packs]]\n",
        ),
        (
            format!(
                "pack = [{{ url = 'http://h/a', folder = '{}' }}] # mine\n",
                place.at("a").display()
            ),
            ", { name = \"b\"",
        ),
    ] {
        fs::write(place.file(), &before).unwrap();
        place.add("http://h/b", place.at("b"), None).unwrap();
        assert!(place.text().contains(added), "{}", place.text());
        assert_eq!(place.names(), ["a", "b"]);
        place.remove("B").unwrap();
        assert_eq!(place.names(), ["a"]);
    }
}

#[test]
fn what_cannot_be_added_leaves_the_file_as_it_was() {
    let place = Place::new();
    let before = place.pack("");
    fs::write(place.file(), &before).unwrap();
    let inside = place.at("p/q");
    for (url, folder, name, reason) in [
        ("ftp://h/x", place.at("x"), None, "`url`: an address that begins with `ftp:`"),
        ("http://h/x", inside, None, "lies in the folder of the pack `p`"),
        ("http://h/x", place.at("x"), Some("P"), "there is a pack called `p`"),
        ("http://h/x", place.at("x"), Some(""), "`name`: it is empty"),
        ("http://h/x", home(), None, "is your home folder"),
    ] {
        let error = place.add(url, folder, name).unwrap_err();
        let message = error.to_string();
        let start = format!("could not add the pack to `{}`: ", place.file().display());
        assert!(message.starts_with(&start) && message.contains(reason), "{message}");
        assert!(!message.contains("line"), "{message}");
        assert_eq!(place.text(), before);
    }
    fs::write(place.file(), "x = 1").unwrap();
    let error = place.add("http://h/x", place.at("x"), None).unwrap_err();
    assert!(error.to_string().contains("line 1: unknown key `x`"), "{error}");
    assert_eq!(place.text(), "x = 1");
}

#[test]
fn removing_takes_the_pack_and_its_comment_and_nothing_else() {
    let place = Place::new();
    let folder = |name: &str| place.at(name).display().to_string();
    let text = format!(
        "# The head of the file.\n\n# The first.\n[[pack]]\nurl = 'http://h/a'\nfolder = '{}'\nignore = [\n  'x', # [[pack]]\n]\n\n\
         # The second.\n[[pack]] # here\nurl = 'http://h/b'\nfolder = '{}' # there\n\n\
         # The network.\n[network]\ndht = false\n\n[[pack]]\nname = 'c'\nurl = 'http://h/c'\nfolder = '{}'\n# The end.\n",
        folder("a"),
        folder("b"),
        folder("c"),
    );
    fs::write(place.file(), &text).unwrap();
    assert_eq!(place.names(), ["a", "b", "c"]);

    place.remove("a").unwrap();
    let head = "# The head of the file.\n\n";
    let without_first = format!("{head}{}", &text[text.find("# The second.").unwrap()..]);
    assert_eq!(place.text(), without_first);
    place.remove("C").unwrap();
    place.remove("b").unwrap();
    assert_eq!(
        place.text(),
        format!("{head}# The network.\n[network]\ndht = false\n\n# The end.\n")
    );

    let error = place.remove("b").unwrap_err().to_string();
    let expected = format!(
        "could not remove the pack `b`: `{}` has no pack of that name",
        place.file().display()
    );
    assert_eq!(error, expected);
}

#[test]
fn what_is_added_can_be_removed_without_a_trace() {
    let place = Place::new();
    for before in ["", "# mine\n", "[network]\ndht = false\n"] {
        fs::write(place.file(), before).unwrap();
        let name = place.add("http://h/a", place.at("a"), None).unwrap();
        place.remove(&name).unwrap();
        assert_eq!(place.text().trim_end(), before.trim_end());
    }
}

#[cfg(unix)]
#[test]
fn a_linked_file_stays_a_link_and_keeps_its_mode() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    fs::create_dir(place.at("dotfiles")).unwrap();
    fs::write(place.at("dotfiles/real.toml"), "").unwrap();
    fs::set_permissions(place.at("dotfiles/real.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(place.at("dotfiles/real.toml"), place.file()).unwrap();
    place.add("http://h/a", place.at("a"), None).unwrap();
    assert!(place.file().is_symlink());
    let real = fs::metadata(place.at("dotfiles/real.toml")).unwrap();
    assert_eq!(real.permissions().mode() & 0o777, 0o640);
    assert!(real.len() > 0);
}

#[test]
fn a_file_that_is_no_text_or_no_file_is_an_error_and_not_the_defaults() {
    let place = Place::new();
    fs::write(place.file(), [0xff, 0xfe, 0x5b, 0x00]).unwrap();
    let error = load(&place.file(), &place.at("state")).unwrap_err();
    assert!(error.hint().contains("UTF-8"), "{error}");
    assert!(load(place.folder.path(), &place.at("state")).is_err());
    fs::write(place.file(), "\u{feff}download_limit = '1 MiB/s'\n").unwrap();
    assert_eq!(load(&place.file(), &place.at("state")).unwrap().download_limit, Some(1 << 20));
}

//! What we rely on in librqbit and cannot see in its types. An upgrade that breaks one of these fails here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use modsync::disk::content::Live;
use modsync::disk::fs::Root;
use modsync::disk::staging::Staging;
use modsync::model::manifest::{InfoHash, Manifest, PieceSet};
use modsync::net::swarm::{Joined, PackStorage, Standing, Swarm, SwarmOptions, Torrent, agrees};
use modsync::origin::metainfo;

use crate::torrents::{acceptable, torrent_of};

const PIECE: usize = 16 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_pieces_that_the_bitfield_lacks_are_fetched_and_they_go_to_staging() {
    let place = Place::new(&[("a.bin", 5 * PIECE), ("b.bin", 3 * PIECE + 100)]);
    let seeder = place.swarm("seeder").await;
    place.seed(&seeder, &place.folder("full")).await;

    // The player has every file at its length, with zeros where pieces 2 and 6 are.
    let player = place.copy_with_holes(&[2, 6]);
    let missing: PieceSet = place.pieces([2, 6]);
    let swarm = place.swarm("player").await;
    let (joined, storage) =
        place.fetch(&swarm, &player, &missing, seeder.listen_port().unwrap()).await;

    let end = finished(&joined).await;
    storage.close();
    let expected: u64 = missing.iter().map(|piece| place.manifest.piece_size(piece)).sum();
    assert_eq!((end.verified_bytes, end.failure), (expected, None));
    assert_eq!(fs::read(player.join("a.bin")).unwrap()[2 * PIECE..3 * PIECE], vec![0; PIECE]);
    let staged =
        fs::read(player.join(format!(".modsync/staging/{}/shelf-0/0", place.manifest.info_hash)));
    assert_eq!(staged.unwrap()[2 * PIECE..], place.bytes("a.bin")[2 * PIECE..3 * PIECE]);
}

/// librqbit is told of one file then, and has to begin anew for that.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_torrent_of_which_nothing_is_here_comes_wherever_its_files_begin_and_end() {
    let files = [10, 0, 2 * PIECE + 7, PIECE, 1, 3 * PIECE - 17, 5].into_iter().zip(0..);
    let files: Vec<_> = files.map(|(length, nth)| (format!("{nth}.bin"), length)).collect();
    let shown: Vec<(&str, usize)> =
        files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    let place = Place::new(&shown);
    let seeder = place.swarm("seeder").await;
    place.seed(&seeder, &place.folder("full")).await;

    let player = place.folder("empty");
    let all = PieceSet::all(place.manifest.pieces.len());
    let swarm = place.swarm("player").await;
    let (joined, storage) = place.fetch(&swarm, &player, &all, seeder.listen_port().unwrap()).await;
    assert_eq!(finished(&joined).await.verified_bytes, place.manifest.stream_length);
    storage.close();
    let staging = player.join(format!(".modsync/staging/{}/shelf-0", place.manifest.info_hash));
    let staged = |nth: usize| fs::read(staging.join(nth.to_string())).unwrap_or_default();
    let staged = files.iter().zip(0..).map(|((name, _), nth)| (name.clone(), staged(nth)));
    assert_eq!(staged.collect::<Vec<_>>(), place.files);
}

/// Or all peers would wait for a disk with every 16 MiB that come.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_librqbit_notes_of_each_piece_goes_to_no_disk() {
    for files in [&[("a.bin", 9 * PIECE)][..], &[("a.bin", 8 * PIECE), ("b.bin", PIECE)]] {
        let place = Place::new(files);
        let seeder = place.swarm("seeder").await;
        place.seed(&seeder, &place.folder("full")).await;
        let all = PieceSet::all(place.manifest.pieces.len());
        let swarm = place.swarm("player").await;
        let port = seeder.listen_port().unwrap();
        let (joined, _) = place.fetch(&swarm, &place.folder("empty"), &all, port).await;
        assert_eq!(finished(&joined).await.failure, None);

        let info_hash = place.manifest.info_hash;
        let session = fs::read_dir(place.folder("player-session")).unwrap().next().unwrap();
        let session = session.unwrap().path();
        let note = session.join(format!("{info_hash}.bitv"));
        assert!(note.symlink_metadata().unwrap().is_symlink());
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read(&note).unwrap() != all.as_bytes() {
            assert!(Instant::now() < deadline, "librqbit notes nothing there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        swarm.leave(swarm.turn_to_fetch(info_hash).await).await;
        let names = fs::read_dir(&session).unwrap().map(|found| found.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".bitv")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_drifted_is_not_given_to_others() {
    let place = Place::new(&[("a.bin", 2 * PIECE)]);
    let folder = place.folder("full");
    let seeder = place.swarm("seeder").await;
    place.seed_as_installed(&seeder, &folder).await;
    fs::write(folder.join("a.bin"), vec![7; 2 * PIECE]).unwrap();

    let player = place.folder("empty");
    let all = PieceSet::all(place.manifest.pieces.len());
    let swarm = place.swarm("player").await;
    let (joined, _) = place.fetch(&swarm, &player, &all, seeder.listen_port().unwrap()).await;
    // The peer is connected, asks, and gets nothing: not even bytes that would fail its check.
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        assert_eq!(joined.standing().fetched_bytes, 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn torrents_that_are_joined_at_once_are_not_taken_for_each_other() {
    let places: Vec<_> =
        (1..20).map(|pieces| Arc::new(Place::new(&[("a.bin", pieces * PIECE)]))).collect();
    let (seeder, swarm) = (places[0].swarm("seeder").await, places[0].swarm("player").await);
    let (port, swarm) = (seeder.listen_port().unwrap(), Arc::new(swarm));
    for place in &places {
        place.seed(&seeder, &place.folder("full")).await;
    }
    let fetch = |place: Arc<Place>| {
        let swarm = Arc::clone(&swarm);
        tokio::spawn(async move {
            let all = PieceSet::all(place.manifest.pieces.len());
            let (joined, _) = place.fetch(&swarm, &place.folder("empty"), &all, port).await;
            finished(&joined).await
        })
    };
    let fetching: Vec<_> = places.iter().cloned().map(fetch).collect();
    for (pieces, fetched) in (1..).zip(fetching) {
        assert_eq!(fetched.await.unwrap().verified_bytes, pieces * PIECE as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_seeds_gives_way_to_who_fetches_and_comes_back() {
    let place = Place::new(&[("a.bin", PIECE)]);
    let (swarm, info_hash) = (place.swarm("player").await, place.manifest.info_hash);
    let seeds = swarm.turn_to_seed(info_hash).await;
    let another_torrent = InfoHash([7; 20]);
    swarm.leave(swarm.turn_to_fetch(another_torrent).await).await;

    let turns = Mutex::new(Vec::new());
    let note = |who| turns.lock().unwrap().push(who);
    let first = async {
        seeds.is_wanted().await;
        note("the first gives way");
        swarm.leave(seeds).await;
        let again = swarm.turn_to_seed(info_hash).await;
        note("the first seeds again");
        swarm.leave(again).await;
    };
    let second = async {
        let fetches = swarm.turn_to_fetch(info_hash).await;
        note("the second fetches");
        swarm.leave(fetches).await;
    };
    tokio::join!(first, second);

    let expected = ["the first gives way", "the second fetches", "the first seeds again"];
    assert_eq!(turns.into_inner().unwrap(), expected);
}

#[test]
fn librqbit_sees_the_same_entries_in_every_torrent_we_accept() {
    for (name, bytes) in acceptable().into_iter().map(|case| (case.name, case.torrent.encode())) {
        let manifest = metainfo::parse(&bytes).unwrap();
        let lengths: Vec<u64> = manifest.entries.iter().map(|entry| entry.length).collect();
        assert!(agrees(&bytes, manifest.info_hash, &lengths).is_ok(), "{name}");
    }
}

/// A torrent with its content, and folders to seed it from and fetch it to.
struct Place {
    folder: tempfile::TempDir,
    torrent: Vec<u8>,
    manifest: Arc<Manifest>,
    files: Vec<(String, Vec<u8>)>,
}

impl Place {
    fn new(files: &[(&str, usize)]) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let files: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, length)| {
                ((*name).to_owned(), (0..*length).map(|_| random.u8(..)).collect())
            })
            .collect();
        let list: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let torrent = torrent_of("pack", PIECE, &list).encode();
        let manifest = Arc::new(metainfo::parse(&torrent).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder, torrent, manifest, files };
        let full = place.folder("full");
        for (name, bytes) in &place.files {
            fs::write(full.join(name), bytes).unwrap();
        }
        place
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn bytes(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|(known, _)| known == name).unwrap().1
    }

    fn pieces<const N: usize>(&self, pieces: [usize; N]) -> PieceSet {
        let mut set = PieceSet::none(self.manifest.pieces.len());
        pieces.into_iter().for_each(|piece| set.insert(piece));
        set
    }

    fn copy_with_holes(&self, holes: &[usize]) -> std::path::PathBuf {
        let folder = self.folder("holes");
        for (entry, path, _) in self.manifest.files() {
            let mut bytes = self.bytes(path.as_str()).to_owned();
            for &piece in holes {
                for span in self.manifest.spans(piece).filter(|span| span.entry == entry) {
                    let (start, length) = (span.offset as usize, span.length as usize);
                    bytes[start..start + length].fill(0);
                }
            }
            fs::write(folder.join(path.as_str()), bytes).unwrap();
        }
        folder
    }

    async fn swarm(&self, who: &str) -> Swarm {
        let folder = self.folder(&format!("{who}-session"));
        Swarm::start(SwarmOptions::named_peers_only(folder)).await.unwrap()
    }

    fn live(&self, folder: &Path) -> Live {
        Live::new(Arc::new(Root::open(folder).unwrap()), Arc::clone(&self.manifest))
    }

    async fn seed(&self, swarm: &Swarm, folder: &Path) {
        self.give(swarm, self.live(folder)).await;
    }

    /// Seeds only as long as every file looks as it does now.
    async fn seed_as_installed(&self, swarm: &Swarm, folder: &Path) {
        let root = Root::open(folder).unwrap();
        let looks = |path| root.stat(path).unwrap().unwrap().into();
        let expected = self.manifest.files().map(|(entry, path, _)| (entry, looks(path))).collect();
        self.give(swarm, self.live(folder).only_as(expected)).await;
    }

    async fn give(&self, swarm: &Swarm, live: Live) {
        let storage = Arc::new(PackStorage::seeding(Arc::clone(&self.manifest), live));
        let have = PieceSet::all(self.manifest.pieces.len());
        let joined = self.join(swarm, storage, have, Vec::new()).await;
        finished(&joined).await;
    }

    async fn fetch(
        &self,
        swarm: &Swarm,
        folder: &Path,
        missing: &PieceSet,
        port: u16,
    ) -> (Joined, Arc<PackStorage>) {
        let root = Arc::new(Root::open(folder).unwrap());
        let staging = Staging::create(root, Arc::clone(&self.manifest)).unwrap();
        let live = self.live(folder);
        let storage = PackStorage::fetching(
            Arc::clone(&self.manifest),
            live,
            staging,
            missing.clone(),
            Arc::default(),
        );
        let storage = Arc::new(storage.unwrap());
        let mut have = PieceSet::all(self.manifest.pieces.len());
        missing.iter().for_each(|piece| have.remove(piece));
        let peers = vec![([127, 0, 0, 1], port).into()];
        (self.join(swarm, Arc::clone(&storage), have, peers).await, storage)
    }

    async fn join(
        &self,
        swarm: &Swarm,
        storage: Arc<PackStorage>,
        have: PieceSet,
        peers: Vec<std::net::SocketAddr>,
    ) -> Joined {
        let bytes = self.torrent.clone();
        let turn = swarm.turn_to_fetch(self.manifest.info_hash).await;
        let torrent =
            Torrent { bytes: bytes.into(), have, unwanted: BTreeSet::new(), storage, peers };
        swarm.add(&turn, torrent).await.unwrap()
    }
}

async fn finished(joined: &Joined) -> Standing {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let standing = joined.standing();
        if standing.finished || standing.failure.is_some() {
            return standing;
        }
        assert!(Instant::now() < deadline, "not finished: {standing:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

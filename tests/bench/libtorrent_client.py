"""A BitTorrent client on loopback that does one thing.

check TORRENT FOLDER            ends when all files are checked
fetch TORRENT FOLDER HOST:PORT  ends when nothing is missing any more
seed  TORRENT FOLDER FILE LIMIT says its port, then writes the bytes it sent into a file until it is killed
"""

import os
import sys
import time

import libtorrent as lt

LOOK = 0.005

task, torrent, folder, *rest = sys.argv[1:]
session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # Nobody here knows both; they would only delay a connection.
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "hashing_threads": os.cpu_count(),
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if task == "fetch":
    host, port = rest[0].rsplit(":", 1)
    params.peers = [(host, int(port))]
handle = session.add_torrent(params)
checks = (
    lt.torrent_status.states.checking_files,
    lt.torrent_status.states.checking_resume_data,
)

while not (status := handle.status(0)).is_seeding:
    if status.errc.value():
        sys.exit(status.errc.message())
    if task != "fetch" and status.state not in checks:
        sys.exit("not complete")
    time.sleep(LOOK)

if task == "seed":
    # A limit of the session would not hold for peers on this machine.
    handle.set_upload_limit(int(rest[1]))
    print("listens at", session.listen_port(), flush=True)
    counter = os.open(rest[0], os.O_WRONLY | os.O_CREAT)
    while True:
        os.pwrite(counter, b"%020d" % handle.status(0).total_payload_upload, 0)
        time.sleep(LOOK)

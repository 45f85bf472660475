"""python-tuf's client on a repository: refreshes, and downloads every target that a role lists.

    ngclient.py ROOT URL DIRECTORY

DIRECTORY keeps what the client trusts: given again, it follows as a device that was there all along.
"""

import json
import pathlib
import sys

from tuf.ngclient import Updater

root, url, directory = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
trusted, targets = directory / "trusted", directory / "targets"
for path in (trusted, targets):
    path.mkdir(parents=True, exist_ok=True)
first = None if (trusted / "root.json").exists() else pathlib.Path(root).read_bytes()
updater = Updater(
    metadata_dir=str(trusted),
    metadata_base_url=f"{url}/metadata/",
    target_dir=str(targets),
    target_base_url=f"{url}/targets/",
    bootstrap=first,
)
updater.refresh()
# A target of the delegated role makes the client fetch that role too.
updater.get_targetinfo("rollout~x~default.json")
count = 0
for role in ("targets", "rollout"):
    listed = json.loads((trusted / f"{role}.json").read_text())["signed"]["targets"]
    for name in listed:
        info = updater.get_targetinfo(name)
        assert info is not None, f"{name} is not found"
        updater.download_target(info)
        count += 1
print(count)

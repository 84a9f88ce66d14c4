"""Take the pictures of the tutorial from the folder in which its commands were run; needs Chromium.

    python benchmarks/run_page.py docs/tutorial.md --folder build/tutorial --write
    python benchmarks/tutorial_pictures.py --folder build/tutorial --out docs/images

Pages are opened without network. A picture above 300 kB is refused.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
LARGEST: Final = 300_000
SECONDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Which page is shown, and how large.

    Attributes:
        page: in the folder; a part of the path may be a pattern, whose first match is taken.
        size: pixels across and down.
        fragment: what stands behind # in the address.

    """

    page: str
    size: tuple[int, int]
    fragment: str = ""


PICTURES: Final[Mapping[str, Picture]] = {
    "index": Picture(page="results/index.html", size=(1280, 1180)),
    "report": Picture(page="results/*/report.html", size=(1100, 1000)),
    "viewer": Picture(page="results/*/report.html", size=(1060, 620), fragment="#viewer&node=1"),
    "evaluation": Picture(page="scores/cohort/report.html", size=(1100, 1000)),
}
"""Pictures by their name; of patients the last in the order of the manifest, who has both phases."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    for name, picture in PICTURES.items():
        path = arguments.out / f"tutorial-{name}.png"
        take(picture, arguments.folder, path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def take(picture: Picture, folder: Path, path: Path) -> None:
    """Write a picture of a page.

    Raises:
        SystemExit: there is no browser or page, or the picture became too large.

    """
    page = max(folder.glob(picture.page)).resolve()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        msg = "no Chromium on this machine"
        raise SystemExit(msg)
    across, down = picture.size
    with tempfile.TemporaryDirectory(prefix="lymphct-pictures-") as profile:
        shot = Path(profile) / "page.png"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--hide-scrollbars",
            f"--user-data-dir={profile}/profile", f"--window-size={across},{down}", f"--screenshot={shot}",
            f"{page.as_uri()}{picture.fragment}",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        with Image.open(shot) as taken:
            taken.convert("RGB").save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        msg = f"{path} has {path.stat().st_size} bytes"
        raise SystemExit(msg)


if __name__ == "__main__":
    main()

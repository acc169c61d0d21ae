# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the documentation, made of what the tests of the web client
saw.

Run as a program with the folder of the screenshots it makes all of them anew.
One command does both::

    sh his-utils/test.sh -e pictures
"""
import io
import sys
from pathlib import Path

from PIL import Image, ImageChops

ROOT = Path(__file__).parents[2]
#: The screenshot of each picture.  Those that end with ``-front`` show the
#: dialog or the tab only, without the menu beside it.
PICTURES = {
    'doc/images/dashboard.png': 'radiographer-dashboard',
    'doc/images/ohif.png': 'radiologist-ohif',
    'doc/images/preview.png': 'radiologist-preview-front',
    'doc/images/review.png': 'radiographer-review',
    'health_imaging/doc/images/order.png': 'doctor-order-front',
    'health_imaging/doc/images/my_orders.png': 'doctor-my-orders-front',
    'health_imaging/doc/images/reading_list.png':
        'radiologist-reading-list-front',
    'health_imaging/doc/images/requests.png': 'radiographer-requests-front',
    'health_imaging/doc/images/result.png':
        'radiologist-interpretation-front',
    'health_imaging/doc/images/report.png': 'radiologist-report',
    'health_imaging/doc/images/turnaround.png':
        'doctor-graph-of-turnaround-front',
    'health_imaging/doc/images/worklist.png': 'radiographer-whom-front',
    'health_imaging_worklist/doc/images/exam.png': 'imaging_admin-exam-front',
    'health_imaging_worklist/doc/images/template.png':
        'imaging_admin-template-front',
    'health_imaging_worklist/doc/images/worklist.png':
        'radiographer-worklist-front',
    'health_orthanc/doc/images/add_server.png': 'it-server-refused-front',
    'health_orthanc/doc/images/server.png': 'it-server-front',
    'health_orthanc/doc/images/studies.png': 'it-studies-front',
    'health_orthanc/doc/images/review.png': 'radiographer-review-front',
    'health_orthanc/doc/images/preview.png': 'radiologist-preview-front',
    }
#: The largest file, in bytes: who reads the pages may have a slow line.
LARGEST = 60_000
_COLORS = [128, 64, 32, 16]


def trim(image):
    "Return an image without the rows at its end that are all alike."
    last = image.crop((0, image.height - 1, image.width, image.height))
    alike = last.resize(image.size)
    _, _, _, bottom = ImageChops.difference(image, alike).getbbox() or [
        0, 0, 0, image.height]
    return image.crop((0, 0, image.width, min(bottom + 12, image.height)))


def png(image):
    """Return an image as PNG (bytes), with as many colours as fit into the
    largest file."""
    for colors in _COLORS:
        file = io.BytesIO()
        image.quantize(colors, dither=Image.Dither.NONE).save(
            file, 'PNG', optimize=True)
        if file.tell() <= LARGEST:
            break
    return file.getvalue()


def make(shots, target, shot):
    "Make one picture of the documentation from its screenshot."
    with Image.open(Path(shots) / f'{shot}.png') as image:
        data = png(trim(image.convert('RGB')))
    path = ROOT / target
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    print(f'{len(data):6} {target}')


if __name__ == '__main__':
    for target, shot in PICTURES.items():
        make(sys.argv[1], target, shot)

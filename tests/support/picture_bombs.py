# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of pictures that are made to cost who opens them: memory, time or
patience."""
import io
import struct
import zlib

from PIL import Image

SIGNATURE = b'\x89PNG\r\n\x1a\n'
_END = b'\xff\xd9'


def _saved(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _chunk(kind, data):
    body = kind + data
    return struct.pack('>I', len(data)) + body + struct.pack(
        '>I', zlib.crc32(body))


def _png(*chunks):
    "Return a PNG of 9 by 9 pixels with chunks before its pixels."
    plain = _saved(Image.new('RGB', (9, 9)), 'PNG')
    return plain[:33] + b''.join(chunks) + plain[33:]


def jpeg_2000():
    "About a kilobyte that unpacks to 64 megapixels."
    return _saved(Image.new('RGB', (8000, 8000)), 'JPEG2000')


def wide_png():
    "More pixels than are opened."
    return _saved(Image.new('L', (8000, 8000)), 'PNG')


def deep_png():
    "As many pixels as are opened, with transparency."
    return _saved(Image.new('RGBA', (5600, 5700)), 'PNG')


def endless_png():
    "Sizes that no computer has."
    header = struct.pack('>IIBBBBB', 2 ** 31 - 1, 2 ** 31 - 1, 16, 6, 0, 0, 0)
    return (SIGNATURE + _chunk(b'IHDR', header)
        + _chunk(b'IDAT', zlib.compress(bytes(1000))) + _chunk(b'IEND', b''))


def texts_in_png():
    "Texts that are packed a thousand times."
    text = b'Comment\0\0' + zlib.compress(bytes(1000_000), 9)
    return _png(*[_chunk(b'zTXt', text)] * 60)


def profile_in_png():
    "A colour profile that unpacks to a gigabyte."
    packer = zlib.compressobj(9)
    data = b''.join(
        [packer.compress(bytes(2 ** 20)) for _ in range(1024)])
    return _png(_chunk(b'iCCP', b'x\0\0' + data + packer.flush()))


def pieces_in_png():
    "A million pieces without anything in them."
    return _png(_chunk(b'abCd', b'') * 10 ** 6)


def frames_in_gif(count=10 ** 5):
    "A film."
    frame = (b'\x21\xf9\4\0\1\0\0\0' b'\x2c\0\0\0\0\1\0\1\0\0'
        b'\2\2\x44\1\0')
    head = b'GIF89a' + struct.pack('<HHBBB', 500, 500, 0x80, 0, 0)
    return head + bytes(6) + frame * count + b';'


def frames_in_apng(count=10 ** 5):
    "A film that begins with a picture."
    plain = _png(_chunk(b'acTL', struct.pack('>II', count, 0)))
    control = struct.pack('>IIIIIHHBB', 0, 9, 9, 0, 0, 1, 100, 0, 0)
    data = zlib.compress(bytes(9 * 28))
    frames = b''.join(
        _chunk(b'fcTL', control) + _chunk(b'fdAT', struct.pack('>I', i) + data)
        for i in range(count // 10))
    return plain[:-12] + frames + plain[-12:]


def pages_in_tiff(count=10 ** 5):
    "A book whose pages are all the same."
    page = _directory([(256, 4, 1, 3), (257, 4, 1, 3), (262, 3, 1, 1)])
    pages = [
        page + struct.pack('<I', 8 + (i + 1) * (len(page) + 4))
        for i in range(count)]
    return b'II*\0' + struct.pack('<I', 8) + b''.join(pages)


def _directory(tags):
    return struct.pack('<H', len(tags)) + b''.join(
        struct.pack('<HHII', *tag) for tag in tags)


def tags_in_tiff():
    "Numbers that become two hundred times as large when they are read."
    count = 6 * 10 ** 6
    tags = [(256, 4, 1, 3), (257, 4, 1, 3), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 1), (278, 3, 1, 3)]
    offset = 8 + 2 + 12 * 47 + 4
    tags += [(273, 3, count, offset)]
    tags += [(50000 + i, 3, count, offset) for i in range(40)]
    return (b'II*\0' + struct.pack('<I', 8) + _directory(tags) + bytes(4)
        + bytes(range(256)) * (count // 128 + 1))


def scans_in_jpeg(count=3 * 10 ** 4):
    "A picture whose last scan comes again and again."
    image = Image.effect_noise((5600, 5600), 9).convert('L')
    data = _saved(image.point(lambda v: 128), 'JPEG', progressive=True)
    last = data.rindex(b'\xff\xda')
    while b'\xff\xc4' in data[last - 40:last]:
        last = data.rindex(b'\xff\xc4', 0, last)
    scan = data[last:-2]
    return data[:-2] + scan * count + _END


def turned_jpeg():
    "A picture that was taken with the camera held upright."
    image = Image.new('RGB', (5600, 5600), 'navy')
    exif = image.getexif()
    exif[0x0112] = 6
    return _saved(image, 'JPEG', exif=exif)


def large_webp():
    "A canvas that takes two gigabytes before anything is known of it."
    head = b'VP8X' + struct.pack('<I', 10) + b'\2\0\0\0' + (
        struct.pack('<I', 16382)[:3] * 2)
    head += b'ANIM' + struct.pack('<I', 6) + bytes(6)
    still = _saved(Image.new('RGB', (9, 9)), 'WEBP', lossless=True)[12:]
    frame = bytes(6) + struct.pack('<I', 8)[:3] * 2 + bytes(4) + still
    head += b'ANMF' + struct.pack('<I', len(frame)) + frame
    return b'RIFF' + struct.pack('<I', len(head) + 4) + b'WEBP' + head


def large_bmp():
    "A header that promises more than there is."
    return b'BM' + struct.pack(
        '<IIIIiiHHIIiiII', 54, 0, 54, 40, 30000, -30000, 1, 24, 0, 0, 0, 0, 0,
        0)


def half_png():
    "What is left of a picture when the line breaks."
    data = _saved(Image.effect_noise((3000, 3000), 90), 'PNG')
    return data[:len(data) // 2]


#: Each with what is known of it afterwards.
BOMBS = {
    'a.jp2': (jpeg_2000, {'kind'}),
    'wide.png': (wide_png, {'pixels'}),
    'deep.png': (deep_png, {'kept'}),
    'endless.png': (endless_png, {'pixels'}),
    'texts.png': (texts_in_png, {'kept', 'damaged', 'effort'}),
    'profile.png': (profile_in_png, {'kept', 'damaged', 'effort'}),
    'pieces.png': (pieces_in_png, {'kept', 'damaged', 'effort', None}),
    'film.gif': (frames_in_gif, {'kept', 'damaged'}),
    'film.png': (frames_in_apng, {'kept'}),
    'book.tiff': (pages_in_tiff, {'damaged', 'kept'}),
    'tags.tiff': (tags_in_tiff, {'damaged', 'effort', 'kept'}),
    'scans.jpg': (scans_in_jpeg, {'effort'}),
    'turned.jpg': (turned_jpeg, {'kept'}),
    'large.webp': (large_webp, {'pixels', 'effort', 'damaged'}),
    'large.bmp': (large_bmp, {'pixels'}),
    'half.png': (half_png, {'damaged'}),
    }

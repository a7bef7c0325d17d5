/** What a person finds in a repository who has nothing else. */
const README = `This folder is a backup repository of virtual machines, made by libvirt-ts-backup.

Nothing in it may be changed, renamed or removed by hand. What is where: docs/repository-format.md of that package.

To get a disk back without it, with Python 3.8 or later, unless the repository is encrypted or packed with zstd:

    python3 restore.py .                            lists the points
    python3 restore.py . POINT DISK FILE            writes a disk of a point to a new raw file
`;

/** A program that restores from an unencrypted repository with nothing but Python's standard library. */
const RESTORE_PY: string = String.raw`#!/usr/bin/env python3
"""Restores disks from a backup repository without the library that wrote it.

    restore.py REPOSITORY                                lists the points
    restore.py REPOSITORY POINT DISK FILE                writes a disk to a new raw file

Needs Python 3.8 and nothing else. Every block is checked against its hash; a file that is written with exit
status 0 is exactly the disk. Encrypted repositories and those packed with zstd need the library.
"""
import hashlib
import json
import os
import re
import struct
import sys
import zlib

BLOCK = 65536
FANOUT = 1024
ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
MANIFEST = re.compile(r'([0-7][0-9A-HJKMNP-TV-Z]{25})\.([0-9a-f]{64})')


class Damaged(Exception):
    pass


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def check(is_right, message):
    if not is_right:
        raise Damaged(message)


class Pack:
    """A pack and its table: number -> (offset, length, kind, packing, hash)."""

    def __init__(self, repository, pack):
        folder = os.path.join(repository, 'packs')
        name = re.compile(re.escape(pack) + r'\.(0|[1-9][0-9]*)')
        generations = [file for file in os.listdir(folder) if name.fullmatch(file)]
        check(generations, 'pack %s is missing' % pack)
        self.path = os.path.join(folder, max(generations, key=lambda file: int(file[27:])))
        self.file = open(self.path, 'rb')
        size = os.fstat(self.file.fileno()).st_size
        check(size >= 64, '%s is cut short' % self.path)
        trailer = self.read(size - 64, 64)
        magic, version, slot, offset, count = struct.unpack('>8sHxxIxxxxIIxxxx', trailer[:32])
        check(magic == b'LTSBPACK' and version == 1, '%s does not end like a pack' % self.path)
        check(offset + slot + count * 48 + 64 == size, '%s has a table that does not fit' % self.path)
        tail = self.read(offset, slot + count * 48)
        number = 0
        for character in pack:
            number = number * 32 + ALPHABET.index(character)
        expected = sha256(number.to_bytes(16, 'big'), tail, trailer[:32])
        check(expected == trailer[32:], 'the table of %s is damaged' % self.path)
        self.table = {row[0]: row[1:] for row in struct.iter_unpack('>IIIBBxx32s', tail[slot:])}

    def read(self, offset, length):
        self.file.seek(offset)
        data = self.file.read(length)
        check(len(data) == length, '%s is cut short' % self.path)
        return data

    def piece(self, number, kind, expected):
        check(number in self.table, '%s has no number %d' % (self.path, number))
        offset, length, found_kind, packing, digest = self.table[number]
        check((found_kind, digest) == (kind, expected), 'number %d of %s is another one' % (number, self.path))
        data = self.read(offset, length)
        if packing == 1:
            try:
                data = zlib.decompressobj(-15).decompress(data, BLOCK)
            except zlib.error as error:
                raise Damaged('number %d of %s is damaged: %s' % (number, self.path, error))
        else:
            check(packing == 0, 'number %d of %s is packed in a way not known here' % (number, self.path))
        return data


class Disk:
    def __init__(self, repository, size):
        self.repository = repository
        self.size = size
        self.packs = {}

    def pack(self, name):
        if name not in self.packs:
            if len(self.packs) >= 32:
                self.packs.pop(next(iter(self.packs))).file.close()
            self.packs[name] = Pack(self.repository, name)
        return self.packs[name]

    def blocks(self, digest, pack, number, level, first):
        """Yields (index, block) of all that is stored under a page."""
        data = self.pack(pack).piece(number, 1, digest)
        where = 'page %d of pack %s' % (number, pack)
        check(len(data) >= 160 and sha256(data[:-32]) == data[-32:], '%s is damaged' % where)
        present = [slot for slot in range(FANOUT) if data[slot >> 3] & (0x80 >> (slot & 7))]
        check(len(data) == 128 + 52 * len(present) + 32, '%s has a wrong length' % where)
        children = list(struct.iter_unpack('>32s16sI', data[128:-32]))
        hashes = b''.join(child[0] for child in children)
        expected = sha256(b'libvirt-ts-backup page\0', bytes([level]), data[:128], hashes)
        check(expected == digest, 'the hash of %s is wrong' % where)
        for slot, (child, child_pack, child_number) in zip(present, children):
            index = first + slot * FANOUT ** level
            if index * BLOCK >= self.size:
                return
            value = int.from_bytes(child_pack, 'big')
            name = ''.join(ALPHABET[(value >> (5 * (25 - place))) & 31] for place in range(26))
            if level > 0:
                yield from self.blocks(child, name, child_number, level - 1, index)
                continue
            block = self.pack(name).piece(child_number, 0, child)
            block += bytes(BLOCK - len(block))
            check(sha256(block) == child, 'the block at %d of the disk is damaged' % (index * BLOCK))
            yield index, block


def points(repository):
    """Yields (manifest, None) of each point, or (None, what is wrong)."""
    root = os.path.join(repository, 'points')
    for uuid in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        folder = os.path.join(root, uuid)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            match = MANIFEST.fullmatch(name)
            try:
                check(match, 'it has not the name of a manifest')
                with open(os.path.join(folder, name), 'rb') as file:
                    data = file.read()
                check(sha256(data).hex() == match[2], 'its hash is wrong')
                point = json.loads(data)
                check(point['id'] == match[1] and point['domain']['uuid'] == uuid, 'it belongs elsewhere')
                yield point, None
            except (Damaged, ValueError, KeyError, TypeError) as error:
                yield None, '%s/%s: %s' % (uuid, name, error)


def restore(repository, point, disk, path):
    levels, blocks = 1, -(-disk['size'] // BLOCK)
    while FANOUT ** levels < blocks:
        levels += 1
    partial = path + '.partial'
    with open(partial, 'xb') as file:
        try:
            fill(repository, disk, levels, file)
            os.link(partial, path)
        finally:
            os.unlink(partial)


def fill(repository, disk, levels, file):
    file.truncate(disk['size'])
    if disk['root'] is not None:
        root = disk['root']
        reader = Disk(repository, disk['size'])
        tree = reader.blocks(bytes.fromhex(root['hash']), root['pack'], root['number'], levels - 1, 0)
        for index, block in tree:
            file.seek(index * BLOCK)
            file.write(block[:disk['size'] - index * BLOCK])
    file.flush()
    os.fsync(file.fileno())


def main(arguments):
    if len(arguments) not in (1, 4):
        sys.exit(__doc__)
    try:
        with open(os.path.join(arguments[0], 'repository.json'), encoding='utf-8') as file:
            about = dict(json.load(file))
    except (FileNotFoundError, ValueError, TypeError):
        print('repository.json is missing or damaged: taken for one that is not encrypted', file=sys.stderr)
        about = {'format': 2}
    if about.get('format') != 2 or 'encryption' in about:
        sys.exit('this repository is encrypted, or of another format: it needs libvirt-ts-backup')
    for point, problem in points(arguments[0]):
        if point is None:
            print('DAMAGED', problem, file=sys.stderr)
        elif len(arguments) == 1:
            disks = ' '.join('%s:%d' % (disk['name'], disk['size']) for disk in point['disks'])
            print(point['id'], point['createdAt'], point['domain']['uuid'], point['domain']['name'], disks)
        elif point['id'] == arguments[1]:
            for disk in point['disks']:
                if disk['name'] == arguments[2]:
                    return restore(arguments[0], point, disk, arguments[3])
            sys.exit('point %s has no disk %s' % (arguments[1], arguments[2]))
    if len(arguments) == 4:
        sys.exit('there is no point %s' % arguments[1])


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except (Damaged, OSError) as error:
        sys.exit('failed: %s' % error)
`;

/** What is put into each new repository beside `repository.json`. */
export const COMPANIONS: Readonly<Record<string, Uint8Array>> = {
  'README.txt': Buffer.from(README),
  'restore.py': Buffer.from(RESTORE_PY),
};

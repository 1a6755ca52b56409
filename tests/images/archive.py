#!/usr/bin/env python3
"""archive.py: makes archives of images, good ones and such as nobody should believe.

	archive.py hostile FOLDER VICTIM    one archive for each of the cases below, each
	                                    named for what is wrong with it; links out
	                                    of the layer lead to the folder VICTIM
	archive.py layers FILE COUNT SEED   an OCI archive of so many layers, each of
	                                    which changes what random files those below
	                                    it have; prints the tree that comes of them
	archive.py notes FOLDER             archives with notes of overlay's, and devices:
	                                    these are left out, and all else is kept
	archive.py wrap FORM FILE CONFIG LAYER...   an archive, oci or docker, of these
	                                    layers, whose configuration is this JSON
	archive.py long FILE LAYER          the same, with a configuration of megabytes
	archive.py under FILE LAYER OUT     that OCI archive with this layer below its own
	archive.py owners FILE              a root file system with files of several owners
	archive.py tree FILE                prints the tree that an OCI archive's layers
	                                    give, and fails if a digest in it is a lie
	archive.py attributes FILE          prints the names of all xattrs in its layers
	archive.py get FILE MEMBER          prints a JSON member of an OCI archive:
	                                    index, manifest, config

A tree is printed as a line for each path: its type, path, and content or target.
What an archive's layers give is worked out here from the text of the OCI image
specification alone (layer.md), as a second opinion.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import random
import sys
import tarfile

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "unknown")
OTHER = "arm64" if MACHINE == "amd64" else "amd64"
LAYER = "application/vnd.oci.image.layer.v1.tar"
OVERLAY = "user.overlay."


def write(path, data):
    with open(path, "wb") as out:
        out.write(data)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def member(name, data=None, **fields):
    """A member of a layer: a file with that data, or whatever its type says."""
    info = tarfile.TarInfo(name)
    info.mtime = 1000000000
    info.mode = 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    if data is not None:
        info.size = len(data)
    return info, data


def folder(name, **fields):
    return member(name, type=tarfile.DIRTYPE, mode=0o755, **fields)


def link(name, target):
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def xattr(name, key, value, data=b"x"):
    return member(name, data, pax_headers={"SCHILY.xattr." + key: value})


def tar(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as out:
        for info, data in members:
            out.addfile(info, None if data is None else io.BytesIO(data))
    return stream.getvalue()


class Image:
    """An image that is about to be written; whatever is set here is believed."""

    def __init__(self, *layers, packed=None):
        self.tars = [layer if isinstance(layer, bytes) else tar(layer)
                     for layer in layers]
        self.packed = packed or self.tars
        self.architecture = MACHINE
        self.config = {"Cmd": ["/bin/sh"]}
        self.diff_ids = ["sha256:" + digest(data) for data in self.tars]
        self.history = []
        self.blobs = {}                 # name: content, or a link's target
        self.members = []               # more of them, of the archive itself
        self.change = lambda name, text: text   # of each JSON text

    def text(self, name, value):
        return self.change(name, json.dumps(value).encode())

    def config_text(self):
        return self.text("config", {
            "architecture": self.architecture, "os": "linux", "config": self.config,
            "history": self.history, "rootfs": {"type": "layers", "diff_ids": self.diff_ids}})

    def blob(self, data, kind):
        self.blobs.setdefault(digest(data), data)
        return {"mediaType": kind, "digest": "sha256:" + digest(data),
                "size": len(data)}

    def oci(self, name="demo:latest"):
        config = self.blob(self.config_text(), "application/vnd.oci.image.config.v1+json")
        layers = [self.blob(data, LAYER + {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}
                            .get(data[:2], "")) for data in self.packed]
        manifest = self.text("manifest", {"schemaVersion": 2, "config": config,
                                          "layers": layers})
        entry = self.blob(manifest, "application/vnd.oci.image.manifest.v1+json")
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        index = self.text("index", {"schemaVersion": 2, "manifests": [entry]})
        members = [member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                   member("index.json", index), folder("blobs"),
                   folder("blobs/sha256")]
        for blob, data in self.blobs.items():
            path = "blobs/sha256/" + blob
            if data is not None:
                members.append(link(path, data) if isinstance(data, str)
                               else member(path, data))
        return tar(members + self.members)

    def docker(self, layers=None, config=None):
        text = self.config_text()
        paths = ["%d/layer.tar" % number for number in range(len(self.packed))]
        manifest = [{"Config": config or digest(text) + ".json",
                     "RepoTags": ["demo:latest"], "Layers": layers or paths}]
        members = [member(digest(text) + ".json", text),
                   member("manifest.json", self.text("manifest", manifest))]
        for path, data in zip(paths, self.packed):
            members += [folder(path.split("/")[0]), member(path, data)]
        return tar(members + self.members)


def base(*more):
    """A layer in which there is a little, as any has."""
    return [folder("bin"), member("bin/sh", b"#!", mode=0o755), folder("etc"),
            member("etc/passwd", b"root:x:0:0:::\n"), *more]


def changed(where, change, form="oci"):
    """An image whose JSON text of that name is another."""
    image = Image(base())
    image.change = lambda name, text: change(text) if name == where else text
    return getattr(image, form)()


def with_value(where, path, value, form="oci"):
    """An image in which one value of a JSON text is another, or gone, if None."""
    def change(text):
        tree = json.loads(text)
        inner = tree
        for key in path[:-1]:
            inner = inner[key]
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return json.dumps(tree).encode()
    return changed(where, change, form)


def layer_cases(victim):
    """Members that no layer may have: the same in a plain archive and in an image."""
    up = "../" * 20 + victim.lstrip("/")
    return {
        "absolute-name": [member("/" + victim.lstrip("/") + "/absolute", b"x")],
        "name-that-leads-up": [member("../up", b"x")],
        "name-that-leads-up-later": [folder("d"), member("d/../../../up", b"x")],
        "name-that-leads-up-in-red": [member("../\x1b[31mred\nwhalebox: or not", b"x")],
        "link-that-leads-up-in-red": [hard("h\x1b]0;x\x07", "../\x1b[31mred\n")],
        "absolute-hard-link": [hard("shadow", "/etc/shadow")],
        "hard-link-that-leads-up": [hard("passwd", up + "/file")],
        "file-behind-a-link": [link("l", victim), member("l/through", b"x")],
        "file-behind-a-link-up": [link("l", up), member("l/through", b"x")],
        "hard-link-through-a-link": [link("l", victim), hard("stolen", "l/file")],
        "whiteout-of-the-parent": [member(".wh...", b"")],
        "whiteout-of-the-folder": [member("etc/.wh..", b"")],
        "whiteout-of-nothing": [member(".wh.", b"")],
        "whiteout-that-leads-up": [member("../.wh.file", b"")],
        "layer-itself-is-a-link": [link(".", victim), member("through", b"x")],
        "layer-itself-is-a-link-up": [link("./", up), member("./through", b"x")],
        "layer-itself-is-a-file": [member(".", b"x")],
        "hard-link-to-nothing": [hard("h", "nothing")],
        "hard-link-to-a-folder": [folder("d"), hard("h", "d")],
        "hard-link-to-itself": [hard("h", "h")],
        "hard-link-to-the-layer": [hard("h", ".")],
        "file-with-a-name-too-long": [member("n" * 256, b"x")],
        "file-with-a-path-too-long": [member("n/" * 2100 + "f", b"x")],
        "file-behind-a-file": [member("f", b"x"), member("f/f", b"x")],
        "id-above-65535": [member("f", b"x", uid=65536)],
        "group-above-65535": [member("f", b"x", gid=4294967294)],
        "id-below-zero": [member("f", b"x", uid=-1)],
    }


def image_cases():
    """Images that are not what they say, or say what none may."""
    good = Image(base())
    text = digest(good.config_text())
    layer = digest(good.tars[0])
    cases = {}

    def lying(blob, data):
        image = Image(base())
        image.blobs[blob] = data
        return image.oci()

    cases["layer-with-a-lying-digest"] = lying(layer, tar(base(member("more", b"x"))))
    cases["config-with-a-lying-digest"] = lying(text, good.config_text() + b" ")
    cases["no-layer"] = lying(layer, None)
    cases["no-config"] = lying(text, None)
    cases["layer-is-a-link-out"] = lying(layer, "/etc/passwd")
    cases["config-is-a-link-up"] = lying(text, "../../../../../../../../etc/passwd")
    image = Image(base())
    image.diff_ids = ["sha256:" + "0" * 64]
    cases["layer-that-is-another"] = image.oci()
    cases["docker-layer-that-is-another"] = image.docker()
    image = Image(base(), base())
    image.diff_ids.pop()
    cases["fewer-ids-than-layers"] = image.oci()
    image = Image(base())
    image.architecture = OTHER
    cases["other-architecture"] = image.oci()
    cases["docker-other-architecture"] = image.docker()

    for name in "index", "manifest", "config":
        cases[name + "-cut-short"] = changed(name, lambda text: text[:-20])
        cases[name + "-empty"] = changed(name, lambda text: b"")
        cases[name + "-is-a-list"] = changed(name, lambda text: b"[]")
        cases[name + "-is-deep"] = changed(name, lambda text: text[:-1] + b',"x":' +
                                           b"[" * 100000 + b"]" * 100000 + b"}")
        cases[name + "-with-more-behind"] = changed(name, lambda text: text + b"}")
    cases["index-with-a-nul"] = changed("index", lambda text: text.replace(b"sha256", b"sha\0"))
    cases["too-many-layers"] = Image(*[base(member("f%d" % number, b""))
                                       for number in range(1000)]).oci()
    cases["index-of-nothing"] = with_value("index", ["manifests"], [])

    for name, value in {
            "leads-up": "sha256:../../../../../../../etc/passwd",
            "absolute": "sha256:/etc/passwd", "short": "sha256:00",
            "other-kind": "md5:" + "0" * 32, "upper-case": "sha256:" + "A" * 64,
            "of-nobody": "sha256:" + "0" * 64, "number": 7, "missing": None}.items():
        cases["manifest-digest-" + name] = with_value(
            "index", ["manifests", 0, "digest"], value)
        cases["config-digest-" + name] = with_value(
            "manifest", ["config", "digest"], value)
        cases["layer-digest-" + name] = with_value(
            "manifest", ["layers", 0, "digest"], value)
    for name, path in {"up": "../../../../../../../../etc/passwd", "absolute": "/etc/passwd",
                       "missing": "none/layer.tar", "folder": "0", "itself": "."}.items():
        cases["docker-layer-" + name] = good.docker(layers=[path])
        cases["docker-config-" + name] = good.docker(config=path)
    image = Image(base())
    image.members = [link("out", "/etc")]
    cases["docker-layer-behind-a-link"] = image.docker(layers=["out/passwd"])
    cases["docker-config-behind-a-link"] = image.docker(config="out/passwd")
    cases["docker-manifest-is-deep"] = changed("manifest", lambda text: b"[" * 100000, "docker")
    cases["docker-manifest-cut-short"] = changed("manifest", lambda text: text[:-9], "docker")
    cases["docker-manifest-empty"] = changed("manifest", lambda text: b"[]", "docker")

    whole = good.oci()
    packed = gzip.compress(good.tars[0])
    cases["archive-cut-short"] = whole[:len(whole) // 2]
    cases["archive-empty"] = b""
    cases["archive-of-nothing"] = tar([])
    cases["archive-is-text"] = b"This is no archive.\n" * 100
    cases["archive-is-noise"] = random.Random(1).randbytes(20000)
    cases["archive-gzip-cut-short"] = gzip.compress(whole)[:-100]
    cases["archive-gzip-of-noise"] = b"\x1f\x8b\x08\0" + b"x" * 1000
    cases["archive-zstd-of-noise"] = b"\x28\xb5\x2f\xfd" + b"x" * 1000
    cases["layer-cut-short"] = Image(good.tars[0][:900]).oci()
    cases["layer-gzip-cut-short"] = Image(good.tars[0], packed=[packed[:-40]]).oci()
    cases["layer-is-noise"] = Image(random.Random(2).randbytes(20000)).oci()
    cases["layer-is-text"] = Image(b"x" * 2000).oci()
    for name in "../../../../../../up", "/up", "x\ny", "-x", ".", "..", "a b", "x" * 300:
        cases["name-" + name.replace("/", "+")[:12].replace("\n", "n")] = \
            Image(base()).oci(name)
    return cases


def header(name, kind=b"0", size=b"0", more=b"", fix=True):
    """A header with what tarfile would not write, and what follows it."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[156:157] = kind
    block[124:136] = size.rjust(11, b"0") + b"\0" if len(size) < 12 else size
    if fix:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + more + bytes(-len(more) % 512)


def broken_cases():
    """Archives whose headers are no headers, or lie about how long something is."""
    end = bytes(1024)
    huge = b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7
    cases = {
        "checksum": header("f", fix=False)[:148] + b"0000000\0" +
                    header("f", fix=False)[156:],
        "size-huge": header("f", size=huge),
        "size-negative": header("f", size=b"\xff" * 12),
        "size-no-number": header("f", size=b"12x45678901"),
        "size-beyond-the-end": header("f", size=b"77777777", more=b"x" * 512),
        "kind-of-many-volumes": header("f", kind=b"M"),
        "name-empty": header(""),
        "pax-huge": header("p", b"x", huge),
        "pax-too-long": header("p", b"x", b"10000000", bytes(1 << 21)),
        "pax-length-lies": header("p", b"x", b"20", b"99 path=x\n".ljust(16, b"x")) + header("f"),
        "pax-length-zero": header("p", b"x", b"20", b"0 path=x\n".ljust(16, b"x")) + header("f"),
        "pax-no-number": header("p", b"x", b"20", b"xx path=x\n".ljust(16, b"x")) + header("f"),
        "pax-path-with-a-nul": header("p", b"x", b"17", b"15 path=f\0/../x\n"[:15]) +
                               header("f"),
        "pax-size-lies": header("p", b"x", b"17", b"15 size=100000\n") + header("f"),
        "long-name-huge": header("n", b"L", huge),
    }
    return {name: tar(base())[:3072] + data + end for name, data in cases.items()}


# These are bombs against --max-size 1m: some megabytes, some thousand files.
def bombs():
    zeros = tar([member("zeros", bytes(8 << 20))])
    many = tar([member("f%d" % number, b"") for number in range(20000)])
    sparse = member("hole", b"1\n0\n0\n".ljust(512, b"\0"), pax_headers={
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole",
        "GNU.sparse.realsize": str(1 << 40)})
    return {
        "bomb-of-bytes": Image(zeros, packed=[gzip.compress(zeros)]).oci(),
        "bomb-of-files": Image(many, packed=[gzip.compress(many)]).oci(),
        "bomb-of-layers": Image(*[tar([member("f%d" % number, bytes(100000))])
                                  for number in range(20)]).oci(),
        "bomb-plain": gzip.compress(zeros),
        "bomb-plain-of-files": gzip.compress(many),
        "bomb-around": gzip.compress(tar([member("index.json", bytes(8 << 20))])),
        "bomb-of-holes": Image([sparse]).oci(),
    }


def write_hostile(place, victim):
    cases = image_cases()
    for name, members in layer_cases(victim).items():
        cases["plain-" + name] = tar(base(*members))
        cases["oci-" + name] = Image(base(), base(*members)).oci()
    for name, data in broken_cases().items():
        cases["broken-plain-" + name] = data
        cases["broken-oci-" + name] = Image(data).oci()
    # Links of one layer that lead members of the next.
    lower = base(link("l", victim), link("u", "../" * 20 + victim.lstrip("/")))
    for at in "l", "u":
        cases["oci-file-behind-%s-below" % at] = \
            Image(lower, [member(at + "/through", b"x")]).oci()
        cases["oci-whiteout-behind-%s-below" % at] = \
            Image(lower, [member(at + "/.wh.file", b"")]).oci()
        cases["opaque-behind-%s-below" % at] = \
            Image(lower, [member(at + "/.wh..wh..opq", b"")]).oci()
        cases["oci-hard-link-behind-%s-below" % at] = \
            Image(lower, [hard("stolen", at + "/file")]).oci()
    cases.update(bombs())
    for name, data in cases.items():
        write(os.path.join(place, name + ".tar"), data)


# What is no fault: xattrs and devices are left out, and all else is kept.
def write_notes(place):
    notes = [folder("secret"), member("secret/file", b"secret"), folder("shown")]
    for key, value in {OVERLAY + "redirect": "/secret", OVERLAY + "opaque": "y",
                       OVERLAY + "metacopy": "", OVERLAY + "origin": "x",
                       "trusted.overlay.redirect": "/secret",
                       "trusted.overlay.opaque": "y", "trusted.x": "y",
                       "security.selinux": "u:r:t:s0", "user.kept": "yes"}.items():
        name = "noted." + key
        info = folder(name)
        info[0].pax_headers = {"SCHILY.xattr." + key: value}
        notes += [info, member(name + "/own", b"x")]
        notes.append(xattr("file." + key, key, value))
    devices = [member("zero", type=tarfile.CHRTYPE, devmajor=0, devminor=0),
               member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
               member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
               member("pipe", type=tarfile.FIFOTYPE)]
    told = Image(base())
    told.history = [{"created_by": "echo \x1b[31mred\nor not", "empty_layer": True},
                    {"created_by": "/bin/sh -c \x1b[31mred\nor not\x9b",
                     "created": "2001-09-09T01:46:40.5Z"}]
    for name, data in {"told": told.oci(), "notes": Image(base(), base(*notes)).oci(),
                       "devices": Image(base(), base(*devices)).oci(),
                       "plain-notes": tar(base(*notes)),
                       "plain-devices": tar(base(*devices))}.items():
        write(os.path.join(place, name + ".tar"), data)


def write_image(form, path, config, *layers):
    tars = []
    for layer in layers:
        with open(layer, "rb") as file:
            tars.append(file.read())
    image = Image(*tars, packed=[gzip.compress(data, 1) for data in tars]
                  if form == "oci" else None)
    image.config = json.loads(config)
    write(path, getattr(image, form)())


# ---- Layers over each other --------------------------------------------------

def below(tree, path):
    return [name for name in tree if name.startswith(path + "/")]


def drop(tree, path):
    for name in below(tree, path):
        del tree[name]
    tree.pop(path, None)


def apply(tree, data):
    """layer.md: whiteouts hide what is in lower layers only, wherever they stand."""
    stream = io.BytesIO(data)
    with tarfile.open(fileobj=stream) as archive:
        members = [(info, info.name.lstrip("./") if info.name in (".", "./") else
                    info.name[2:] if info.name.startswith("./") else info.name)
                   for info in archive]
        for info, path in members:
            parent, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                for inner in below(tree, parent) if parent else list(tree):
                    tree.pop(inner, None)
            elif name.startswith(".wh."):
                drop(tree, (parent + "/" if parent else "") + name[4:])
        for info, path in members:
            if path == "" or path.rpartition("/")[2].startswith(".wh."):
                continue
            if not (info.isdir() and tree.get(path, "").startswith("d")):
                drop(tree, path)
            if info.isdir():
                tree[path] = "d"
            elif info.issym():
                tree[path] = "l " + info.linkname
            elif info.islnk():
                target = info.linkname[2:] if info.linkname.startswith("./") else info.linkname
                tree[path] = tree[target]
            elif info.isreg():
                content = archive.extractfile(info).read()
                tree[path] = "f " + (content.decode() if len(content) < 100 and
                                     content.isascii() else digest(content))


def print_tree(tree):
    for path in sorted(tree, key=os.fsencode):
        kind, _, rest = tree[path].partition(" ")
        print(kind, path, rest)


def random_layer(chance, tree, number):
    """Changes of some of the tree's paths, as an archive may have them."""
    members, gone = [], set()
    made = {}                           # in this layer
    for step in range(12):
        path = "/".join(chance.choice("abc") for _ in range(chance.randint(1, 3)))
        parents = [path[:at] for at, char in enumerate(path) if char == "/"]
        if any(p in made and made[p] != "d" or p in gone for p in parents):
            continue
        if path in made or below(made, path) or path in gone:
            continue
        if any(tree.get(p, "d")[0] != "d" and p not in made for p in parents):
            continue                    # it would need a folder in a file's place
        what = chance.choice("fffddlwwo")
        if what in "wo" and path not in tree:
            continue
        for p in parents:
            if p not in made:
                members.append(folder(p))
                made[p] = "d"
        if what == "f":
            members.append(member(path, b"%d.%d" % (number, step)))
        elif what == "l":
            members.append(link(path, "nowhere/%d.%d" % (number, step)))
        elif what == "d":
            members.append(folder(path))
        elif what == "o" and tree[path] == "d":
            members += [folder(path), member(path + "/.wh..wh..opq", b""),
                        member(path + "/new", b"%d" % number)]
            made[path + "/new"] = "f"
            what = "d"
        else:
            parent, _, name = path.rpartition("/")
            members.append(member((parent + "/" if parent else "") + ".wh." + name, b""))
            gone.add(path)
            continue
        made[path] = what
    return members


def write_layers(path, count, seed):
    chance = random.Random(seed)
    tree, tars = {}, []
    for number in range(count):
        layer = [] if number else [folder("tree")]
        inner = {name[5:]: what for name, what in tree.items() if name.startswith("tree/")}
        for info, data in random_layer(chance, inner, number):
            info.name = "tree/" + info.name
            layer.append((info, data))
        tars.append(tar(layer))
        apply(tree, tars[-1])
    packed = [gzip.compress(data) if number % 2 else data
              for number, data in enumerate(tars)]
    write(path, Image(*tars, packed=packed).oci())
    print_tree(tree)


# ---- What is in one ----------------------------------------------------------

def read_archive(path):
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read()
                for info in archive if info.isreg()}


def blob_of(files, entry):
    algorithm, _, name = entry["digest"].partition(":")
    data = files["blobs/%s/%s" % (algorithm, name)]
    if digest(data) != name or len(data) != entry["size"]:
        sys.exit("not what its digest and size say: " + name)
    return data


def read_image(path):
    files = read_archive(path)
    index = json.loads(files["index.json"])
    manifest = json.loads(blob_of(files, index["manifests"][0]))
    config = json.loads(blob_of(files, manifest["config"]))
    return files, index, manifest, config


def read_layers(path):
    """The layers of an OCI archive, each an archive itself, the lowest first."""
    files, _, manifest, config = read_image(path)
    ids = config["rootfs"]["diff_ids"]
    if len(ids) != len(manifest["layers"]):
        sys.exit("%d layers, and %d ids" % (len(manifest["layers"]), len(ids)))
    for entry, name in zip(manifest["layers"], ids):
        data = blob_of(files, entry)
        if entry["mediaType"].endswith("gzip"):
            data = gzip.decompress(data)
        if "sha256:" + digest(data) != name:
            sys.exit("not the layer that it says: " + name)
        yield data


def read_tree(path):
    tree = {}
    for data in read_layers(path):
        apply(tree, data)
    print_tree(tree)


def read_attributes(path):
    for data in read_layers(path):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for info in archive:
                for key in info.pax_headers:
                    if "xattr" in key:
                        print(key.replace("SCHILY.xattr.", ""))


def main(what, *args):
    sys.stdout.reconfigure(errors="surrogateescape")
    if what == "hostile":
        write_hostile(*args)
    elif what == "notes":
        write_notes(*args)
    elif what == "wrap":
        write_image(*args)
    elif what == "long":
        write_image("oci", args[0], json.dumps({f"{n:07}": 0 for n in range(250000)}),
                    args[1])
    elif what == "layers":
        write_layers(args[0], int(args[1]), int(args[2]))
    elif what == "under":
        with open(args[1], "rb") as bottom:
            write(args[2], Image(bottom.read(), *read_layers(args[0])).oci())
    elif what == "owners":
        write(args[0], tar([folder(".", uid=1000)] + base(
            member("root", b"x"), member("guest", b"x", uid=1000),
            member("group", b"x", gid=33))))
    elif what == "attributes":
        read_attributes(args[0])
    elif what == "tree":
        read_tree(args[0])
    elif what == "get":
        _, index, manifest, config = read_image(args[0])
        print(json.dumps({"index": index, "manifest": manifest,
                          "config": config}[args[1]], indent=1, sort_keys=True))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])

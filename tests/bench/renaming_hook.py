#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# What revertfs replaces: a libvirt hook that renames a domain's images away at its start and puts overlays in their place, and at
# its end removes these or commits them. No more than that needs, and nothing that survives a crash.
#
#	renaming_hook.py CONFIG-DIR DOMAIN OPERATION SUB-OPERATION EXTRA <domain.xml
import json
import os
import subprocess
import sys
import xml.etree.ElementTree


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *arguments], check=True)


def prepare(path):
    os.rename(path, path + ".base")
    qemu_img("create", "-q", "-f", "qcow2", "-b", path + ".base", "-F", "qcow2", path)


def release(path, commit):
    if commit:
        qemu_img("commit", "-q", "-f", "qcow2", path)
    os.remove(path)
    os.rename(path + ".base", path)


def main():
    directory, domain, operation, sub_operation = sys.argv[1:5]
    file = os.path.join(directory, domain + ".json")
    with open(file) as stream:
        config = json.load(stream)
    disks = {}
    for disk in xml.etree.ElementTree.parse(sys.stdin).iter("disk"):
        disks[disk.find("target").get("dev")] = disk.find("source").get("file")
    for wanted in config["disks"]:
        path = disks[wanted["target"]]
        if (operation, sub_operation) == ("prepare", "begin"):
            prepare(path)
        elif (operation, sub_operation) == ("release", "end"):
            release(path, wanted["one-shot-commit"])
            wanted["one-shot-commit"] = False
    if (operation, sub_operation) == ("release", "end"):
        with open(file + ".new", "w") as stream:
            json.dump(config, stream, indent=4)
        os.rename(file + ".new", file)


main()

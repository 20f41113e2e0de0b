"""``flow datasets``: list the data sets, or describe one."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "list the data sets, or describe one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("name", nargs="?", help="a data set's name or an .npz file")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow datasets``."""
    from flow.network.datasets import dataset_info, list_datasets
    from flow.report.datasets import dataset_json, dataset_text, datasets_json, datasets_table

    if args.name:
        info = dataset_info(args.name)
        if args.json:
            return print_json(dataset_json(info))
        print(dataset_text(info))
        return 0
    infos = list_datasets()
    if args.json:
        return print_json(datasets_json(infos))
    print(datasets_table(infos))
    return 0

"""``webinfer ipfs``: publish and fetch models by the hash of their contents."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from webinfer.api.services import ipfs
from webinfer.cli.command import HELP, command
from webinfer.cli.output.layout import pairs
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import size
from webinfer.core.errors import FetchError

Reference = Annotated[str, typer.Argument(metavar="CID[/PATH]", help="A CID, also as ipfs://CID, and a path below it.")]
Gateways = Annotated[
    list[str] | None,
    typer.Option(
        "--gateway",
        "-g",
        metavar="URL",
        help=f"A trustless gateway to fetch from; may be given several times. {ipfs.VARIABLE} names the usual ones.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: The command line.
    """
    group = typer.Typer(
        name="ipfs",
        help="Publish and fetch models by the hash of their contents.",
        context_settings=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for body, examples in (
        (add, "webinfer ipfs add ./my-model\nwebinfer ipfs add ~/snapshot --follow --json"),
        (get, "webinfer ipfs get CID -o my-model -g http://192.168.1.7:8080\nwebinfer run ipfs://CID 'Hello.' --embed"),
        (cat, "webinfer ipfs cat CID/config.json"),
        (ls, "webinfer ipfs ls CID/onnx"),
        (verify, "webinfer ipfs verify CID"),
        (export, "webinfer ipfs export CID model.car"),
        (import_, "webinfer ipfs import model.car"),
        (serve_, "webinfer ipfs serve --address 0.0.0.0 --port 8080"),
    ):
        command(group, body.__name__.rstrip("_"), examples=examples)(body)
    app.add_typer(group)


def add(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a directory with all below it.")],
    hidden: Annotated[bool, typer.Option("--hidden", help="Take files whose names begin with a dot, too.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Take what symbolic links lead to.")] = False,
) -> None:
    """Put a file or directory into the store, and print its CID.

    The CID is the same wherever the same files are added under the profile unixfs-v1-2025.
    """
    with terminal.steps() as steps:
        root = ipfs.add(path, hidden=hidden, follow=follow, progress=steps)
    if terminal.json:
        terminal.emit({"cid": str(root.cid), "nbytes": root.nbytes, "profile": ipfs.PROFILE})
        return
    terminal.err.print(
        Text(f"{path} is in the store, {size(root.nbytes)}. Others fetch it after 'webinfer ipfs serve'.")
    )
    terminal.out.print(Text(str(root.cid)), soft_wrap=True)


def get(
    terminal: Terminal,
    reference: Reference,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; by default named by the path or CID.")
    ] = None,
    gateway: Gateways = None,
) -> None:
    """Fetch a file or directory, verified, and write it to disk."""
    with terminal.steps() as steps:
        written = ipfs.fetch(reference, output, gateways=gateway, progress=steps)
    if terminal.json:
        terminal.emit({"cid": str(written.cid), "path": written.path.absolute()})
        return
    terminal.out.print(Text(str(written.path)), soft_wrap=True)


def cat(terminal: Terminal, reference: Reference, gateway: Gateways = None) -> None:
    """Print the contents of a file."""
    with terminal.steps() as steps:
        pieces = ipfs.read(reference, gateways=gateway, progress=steps)
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def ls(terminal: Terminal, reference: Reference, gateway: Gateways = None) -> None:
    """List a directory: CIDs, sizes of all their blocks, names."""
    with terminal.steps() as steps:
        listing = ipfs.listing(reference, gateways=gateway, progress=steps)
    if terminal.json:
        entries = [{"name": item.name, "cid": str(item.cid), "nbytes": item.nbytes} for item in listing.items]
        facts = {"cid": str(listing.cid), "directory": listing.is_directory, "nbytes": listing.nbytes}
        terminal.emit({**facts, "entries": entries})
        return
    for item in listing.items:
        terminal.out.print(Text(f"{item.cid} {item.nbytes:>12} {item.name}"), soft_wrap=True)
    if not listing.is_directory:
        terminal.out.print(Text(f"{listing.cid} {listing.nbytes:>12}"), soft_wrap=True)


def verify(terminal: Terminal, reference: Reference) -> None:
    """Hash every block that the store has of a file or directory.

    Blocks that do not match their hash are removed, so that they are fetched again.

    Raises:
        FetchError: A block is missing.
    """
    with terminal.steps() as steps, steps.step("hash every block"):
        report = ipfs.verify(reference)
    if terminal.json and not report.missing:
        terminal.emit(report.to_dict())
    elif not terminal.json:
        rows = (
            ("good", f"{report.blocks} blocks, {size(report.nbytes)}"),
            ("missing", f"{len(report.missing)} blocks"),
        )
        terminal.show(pairs((name, Text(value)) for name, value in rows))
    if report.missing:
        raise FetchError(
            f"{report.root} is not whole: block {report.missing[0]} is missing"
            + (f", and {len(report.missing) - 1} more" if len(report.missing) > 1 else "")
            + ". Fetch it with 'webinfer ipfs get'.",
            **report.to_dict(),
        )


def export(
    terminal: Terminal,
    reference: Annotated[str, typer.Argument(metavar="CID", help="A CID, also as ipfs://CID.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write.")],
    gateway: Gateways = None,
) -> None:
    """Write a file or directory as one archive (CARv1).

    The archive takes a model to machines without a network.
    """
    with terminal.steps() as steps:
        written = ipfs.export_archive(reference, file, gateways=gateway, progress=steps)
    if terminal.json:
        facts = {"blocks": written.blocks, "nbytes": written.nbytes}
        terminal.emit({"cid": str(written.cid), "path": file.absolute(), **facts})
        return
    terminal.out.print(Text(str(file)), soft_wrap=True)


def import_(
    terminal: Terminal,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of blocks (CARv1).")],
) -> None:
    """Take an archive's blocks into the store, each verified.

    Prints the CIDs of its roots.
    """
    with terminal.steps() as steps:
        reports = ipfs.import_archive(file, progress=steps)
    if terminal.json:
        terminal.emit({"roots": [report.to_dict() for report in reports]})
        return
    for report in reports:
        terminal.out.print(Text(str(report.root)), soft_wrap=True)
        if report.missing:
            terminal.err.print(
                Text(f"{report.root} is not whole: {len(report.missing)} blocks and more are missing.", "warn")
            )


def serve_(
    terminal: Terminal,
    address: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines ask.")
    ] = ipfs.LOOPBACK,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8080,
) -> None:
    """Serve the store as a trustless gateway, until interrupted.

    Clients verify what they fetch, so that any machine can serve any other. Everybody who can reach the address and
    knows a CID can read its contents.
    """

    async def run() -> None:
        async with ipfs.serve(address, port) as url:
            if terminal.json:
                terminal.emit({"url": url, "store": ipfs.store_directory()})
            else:
                terminal.out.print(Text(url), soft_wrap=True)
                terminal.err.print(Text(f"Elsewhere, set {ipfs.VARIABLE} to it. Ctrl-C ends it.", "quiet"))
            sys.stdout.flush()
            await asyncio.Event().wait()

    asyncio.run(run())

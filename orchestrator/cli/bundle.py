"""The commands about bundles: what to converge to, from a directory to what the orchestrator keeps."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.errors import MeshError
from orchestrator.cli.amounts import ago, size
from orchestrator.cli.named import bundle_named
from orchestrator.cli.options import Output, Url
from orchestrator.cli.output import Column, Form, note, out, pairs, short, show_list, show_one
from orchestrator.cli.place import client_for
from orchestrator.cli.stop import Code, StopError
from orchestrator.domain.views import BundleView

if TYPE_CHECKING:
    from puppet_bridge.bundle import BundleFile

app = typer.Typer(name="bundle", help="Bundles of Puppet code.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(metavar="SRC", exists=True, file_okay=False, help="The directory.")]
Validate = Annotated[
    bool, typer.Option("--validate/--no-validate", help="Let Puppet parse what is packed, if it is here.")
]


def register(program: typer.Typer) -> None:
    """Add the commands of this module to `program`."""
    program.add_typer(app)


@app.command("build")
def build(
    source: Source,
    *,
    archive: Annotated[Path, typer.Option("--out", help="The archive, or a directory for it.")] = Path(),
    validate: Validate = True,
) -> None:
    """Pack a directory; the same tree gives the same digest everywhere. Prints the digest."""
    packed = _built(source, archive, validate=validate)
    note(f"{packed.path}: {packed.files} files, {size(packed.size)}, packed {size(packed.compressed_size)}")
    out(packed.digest)


@app.command("push")
def push(
    source: Annotated[Path, typer.Argument(metavar="SRC", exists=True, help="A directory, or an archive.")],
    *,
    validate: Validate = True,
    url: Url = None,
) -> None:
    """Hand a bundle to the orchestrator. Prints the digest."""
    client = client_for(url)
    with tempfile.TemporaryDirectory(prefix="tarmak-push-") as scratch:
        packed = source if source.is_file() else _built(source, Path(scratch), validate=validate).path
        note(f"pushing {size(packed.stat().st_size)} to {client.url}")
        with packed.open("rb") as content:
            view = client.push(content)
    out(view.digest)


@app.command("list")
def list_bundles(output: Output = Form.TABLE, url: Url = None) -> None:
    """List the bundles that the orchestrator has, newest first."""
    now = datetime.now(UTC)
    shown = (
        Column(heading="DIGEST", cell=lambda view: short(view.digest)),
        Column(heading="NAME", cell=lambda view: view.name or "-"),
        Column(heading="VERSION", cell=lambda view: view.version or "-"),
        Column(heading="ROLES", cell=lambda view: ",".join(view.roles) or "any"),
        Column(heading="SIZE", cell=lambda view: size(view.size)),
        Column(heading="PUSHED", cell=lambda view: ago(view.pushed_at, now=now)),
        Column(heading="BY", cell=lambda view: view.pushed_by),
    )
    show_list(output, client_for(url).bundles(), shown, none="no bundles; push one with `tarmak bundle push`")


@app.command("show")
def show(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="The digest, or its beginning.")],
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Show one bundle."""
    client = client_for(url)
    meant = bundle_named(client, digest)
    found = [bundle for bundle in client.bundles() if bundle.digest == meant]
    if not found:
        raise StopError(Code.FAILED, f"no bundle is known as {digest}", action="see `tarmak bundle list`")
    show_one(output, found[0], pairs(_account(found[0])))


@app.command("verify")
def verify(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", exists=True, dir_okay=False)],
    digest: Annotated[str | None, typer.Option("--digest", help="What it must be.")] = None,
) -> None:
    """Prove that an archive is a bundle, whole and unaltered. Prints its digest."""
    from broker import ids  # noqa: PLC0415 - kept beside the import below
    from puppet_bridge import bundle  # noqa: PLC0415 - only these two commands need Puppet's side

    with _explained(f"{archive} is no bundle"):
        found = bundle.verify(archive, digest=None if digest is None else ids.digest(digest))
    note(f"{found.files} files, {size(found.size)}")
    out(found.digest)


def _built(source: Path, out: Path, *, validate: bool) -> "BundleFile":
    from puppet_bridge import bundle  # noqa: PLC0415 - only these two commands need Puppet's side

    with _explained(f"{source} can't be packed"):
        puppet = PUPPET if validate else None
        return bundle.build(source, out, warn=lambda text: note(f"warning: {text}"), puppet=puppet)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except MeshError as error:
        first, *others = str(error).splitlines() or [type(error).__name__]
        more = f" (and {len(others)} more)" if others else ""
        raise StopError(Code.FAILED, what, why=f"{first}{more}", action="correct it and try again") from error
    except OSError as error:
        raise StopError(Code.FAILED, what, why=str(error)) from error


def _account(view: BundleView) -> Iterator[tuple[str, str]]:
    yield "digest", view.digest
    yield "name", view.name or "-"
    yield "version", view.version or "-"
    yield "roles", ", ".join(view.roles) or "any"
    yield "size", f"{size(view.size)} ({size(view.packed)} packed)"
    yield "pushed", f"{view.pushed_at.isoformat(timespec='seconds')} by {view.pushed_by}"


PUPPET: Final = "puppet"

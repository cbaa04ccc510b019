"""The version after this one, made for tests: a copy of the program with one more migration, as a release brings it.

Its tables differ by what migrations usually do: a new table, a new column that has a value in old rows, and on SQLite a
table that others refer to is made anew. The migration can be made to wait in its middle.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import gateway
from gateway.store.schema import REVISION

NEXT = "9999"

_COLUMN = 'Column("language", Text, nullable=False, server_default="en"),'

_MIGRATION = '''"""Tickets have a language."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "{after}"
down_revision = "{before}"

FOLDER = Path({folder!r})


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "languages",
        sa.Column("code", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
    )
    op.execute("INSERT INTO languages VALUES ('en', 'English')")
    if (FOLDER / "wait").exists():
        (FOLDER / "waits").touch()
        while (FOLDER / "wait").exists():
            time.sleep(0.05)
    with op.batch_alter_table("tickets", recreate="always" if sqlite else "never") as tickets:
        tickets.add_column(sa.Column("language", sa.Text(), nullable=False, server_default="en"))
'''


class NextVersion:
    """A program in a folder. ``environment`` makes Python find it before ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(Path(gateway.__file__).parent, folder / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(Path(gateway.__file__).parents[1] / "config", folder / "config")
        schema = folder / "gateway/store/schema.py"
        text = schema.read_text()
        assert text.count(f'REVISION = "{REVISION}"') == text.count('    _words("root"),') == 1
        text = text.replace(f'REVISION = "{REVISION}"', f'REVISION = "{NEXT}"')
        schema.write_text(text.replace('    _words("root"),', f'    {_COLUMN}\n    _words("root"),'))
        script = folder / f"gateway/store/migrations/versions/{NEXT}_language.py"
        script.write_text(_MIGRATION.format(after=NEXT, before=REVISION, folder=str(folder)))

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}

    def wait_in_the_middle(self) -> None:
        """The migration comes to half of its statements and goes on when :meth:`go_on` says so."""
        (self.folder / "waits").unlink(missing_ok=True)
        (self.folder / "wait").touch()

    def is_in_the_middle(self) -> bool:
        return (self.folder / "waits").exists()

    def go_on(self) -> None:
        (self.folder / "wait").unlink(missing_ok=True)

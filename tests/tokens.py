"""A tokens file for tests, and how requests use it."""

import time
from pathlib import Path

from attrs import define, field

from qchat.adapters.tokens import Token, TokensFile, digest, new_secret
from qchat.model.principal import Role


@define
class Tokens:
    """``directory`` gets the file; ``secrets`` are by name."""

    directory: Path
    secrets: dict[str, str] = field(factory=dict)

    @property
    def path(self) -> Path:
        return self.directory / "tokens.json"

    def add(
        self, name: str, *, principal: str = "", role: Role = "user", expires: float | None = None
    ) -> str:
        """A token that is good for ``expires`` seconds from now."""
        now = time.time()
        self.secrets[name] = new_secret()
        token = Token(
            name=name,
            principal=principal or name,
            role=role,
            sha256=digest(self.secrets[name]),
            created=now,
            expires=None if expires is None else now + expires,
        )
        TokensFile(self.path).add(token)
        return self.secrets[name]

    def revoke(self, name: str) -> None:
        TokensFile(self.path).revoke(name)

    def bearer(self, name: str) -> dict[str, str]:
        return bearer(self.secrets[name])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}

"""Dovecot's configuration as `doveconf -nP` prints it, 2.3's syntax and 2.4's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


PLUGIN = "last_login"

_VERSION = re.compile(r"# (\d+)\.(\d+)")
# Blocks whose settings go before those around them, for some of the logins.
_FILTERS = ("protocol", "remote", "local", "local_name", "remote_name")
# What a secret's value looks like without -P.
_HIDDEN = "# hidden, use -P to show it"
# Dovecot 2.3's own default of `protocols`; its "none" is an empty text.
_PROTOCOLS = "imap pop3 lmtp"


@dataclass(frozen=True, slots=True)
class Block:
    """Settings between braces; `name` is what stands before them."""

    name: str
    values: dict[str, str] = field(default_factory=dict)
    blocks: "list[Block]" = field(default_factory=list)

    def block(self, name: str) -> "Block":
        """The first block of this name; an empty one when there is none."""
        return next((block for block in self.blocks if block.name == name), Block(name))

    def setting(self, name: str) -> str | None:
        """A setting of a plugin: 2.4 has it beside all others."""
        return self.block("plugin").values.get(name, self.values.get(name))

    def switches(self, name: str) -> set[str] | None:
        """A list of names: what is on of it, None when it is not set here. 2.4 prints it as a block."""
        if name in self.values:
            return set(re.split(r"[\s,]+", self.values[name])) - {""}
        if any(block.name == name for block in self.blocks):
            return {key for key, value in self.block(name).values.items() if value == "yes"}
        return None


@dataclass(frozen=True, slots=True)
class DictTarget:
    """Where `last_login_dict` points: `socket` None is Dovecot's own dict server."""

    driver: str
    socket: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Last login's settings for some of the logins: `where` says which, empty for all that no other scope is for.

    What is None is not set here.
    """

    where: str
    target: DictTarget | None
    key: str | None
    precision: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """Whom mail processes run as, names or numbers; `uid` None: each user's own, from the userdb."""

    uid: str | None
    gid: str | None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """What matters to us of it."""

    version: tuple[int, int]
    base_dir: str
    # Protocols that are served, and whether the plugin is loaded in them.
    protocols: dict[str, bool]
    # The first one is for everybody.
    scopes: list[Scope]
    account: Account


def parse(text: str) -> Configuration:
    """Read what doveconf printed. What is no configuration comes out empty: doveconf itself checks the syntax."""
    root = _blocks(text)
    found = _VERSION.match(text)
    version = (int(found[1]), int(found[2])) if found else (2, 3)
    protocols = root.switches("protocols")
    served = sorted(protocols if protocols is not None else set(_PROTOCOLS.split()))
    everywhere = root.switches("mail_plugins") or set()
    return Configuration(
        version=version,
        base_dir=root.values.get("base_dir", "/run/dovecot").rstrip("/"),
        protocols={name: PLUGIN in _plugins(root, name, everywhere, version) for name in served},
        scopes=list(_scopes(root, "")),
        account=_account(root),
    )


def _blocks(text: str) -> Block:
    stack = [Block("")]
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if line == "}":
            if len(stack) > 1:
                stack.pop()
        elif line.endswith("{") and not equals:
            block = Block(line[:-1].strip())
            stack[-1].blocks.append(block)
            stack.append(block)
        elif equals and value != _HIDDEN:
            stack[-1].values[name] = _unquoted(value)
    return stack[0]


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value


def _plugins(root: Block, protocol: str, everywhere: set[str], version: tuple[int, int]) -> set[str]:
    own = root.block(f"protocol {protocol}").switches("mail_plugins")
    if own is None:
        return everywhere
    # 2.3 prints what the protocol has in all; 2.4 what it adds.
    return own if version < (2, 4) else own | everywhere


def _scopes(block: Block, where: str) -> Iterator[Scope]:
    yield Scope(where, _target(block), block.setting("last_login_key"), block.setting("last_login_precision"))
    for inner in block.blocks:
        if inner.name.partition(" ")[0] in _FILTERS:
            yield from _scopes(inner, f"{where} {inner.name}".strip())


def _target(block: Block) -> DictTarget | None:
    uri = block.setting("last_login_dict")
    if uri is not None:
        driver, _, rest = uri.partition(":")
        # proxy:[<socket>]:<name>; a socket without a slash in front is one in base_dir (dict-client.c).
        socket, _, name = rest.partition(":")
        return DictTarget(driver, socket or None, name)
    for inner in block.block("last_login_dict").blocks:
        kind, _, driver = inner.name.partition(" ")
        if kind == "dict":
            values = {name.removeprefix("dict_proxy_"): value for name, value in inner.values.items()}
            return DictTarget(values.get("driver", driver), values.get("socket_path"), values.get("name", driver))
    return None


def _account(root: Block) -> Account:
    args = " ".join(block.values.get("args", "") for block in root.blocks if block.name.split(" ")[0] == "userdb")
    static = dict(re.findall(r"(?:^|\s)(uid|gid)=(\S+)", args))
    for block in root.blocks:
        if block.name.split(" ")[0] == "userdb":
            # 2.4: userdb static { fields { uid = vmail } }
            static |= {name: value for name, value in block.block("fields").values.items() if name in {"uid", "gid"}}
    return Account(
        root.values.get("mail_uid") or static.get("uid"),
        root.values.get("mail_gid") or static.get("gid"),
        tuple(sorted(root.switches("mail_access_groups") or ())),
    )

"""How the page is served."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.schema.limits import Limits
from studio.ui.visitors.passwords import Account

if TYPE_CHECKING:
    from studio.store.bucket import Bucket
    from studio.ui.visitors.hf_sign_in import SpaceOAuth


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` and `make_app` need to know."""

    home: Path | str | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    demo: bool = False
    """For the public: each visitor gets a workspace."""
    limits: Limits | None = None
    """Those of a demo's visitors."""
    allow_hosts: Sequence[str] = ()
    """Host names under which the page may be asked for."""
    trusted_proxies: Sequence[str] = ()
    """Addresses and networks of proxies whose X-Forwarded headers count."""
    user_header: str = ""
    """Header in which a trusted proxy names the person who is logged in. `$STUDIO_ROLES_FILE` gives the roles."""
    root_path: str = ""
    """Path below which a proxy serves the page, such as /tuning. Empty: at the root of its host."""
    open_browser: bool = True
    mcp: bool = False
    """Whether agents may call the API's endpoints by the Model Context Protocol."""
    bucket: "Bucket | None" = None
    """Where the data folder is saved. `serve` takes it from the environment."""
    sign_in: "SpaceOAuth | None" = None
    """The sign-in with Hugging Face. `serve` takes it from the environment of a Space."""
    accounts: Sequence[Account] = ()
    """Whose passwords open the page; without any, it has no login. `serve` takes them from the environment."""

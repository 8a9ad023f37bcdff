"""S12 and S13: headers that say where the page is, and who may ask for it."""

import json
import re
import socket

from studio.ui.http.security import CALL
from tests.browser.served import Served
from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.s11_malformed import send_raw
from tests.security.stage import Stage, Visitor

FORWARDED = [
    {"x_forwarded_host": "evil.example"},
    {"x_gradio_server": "http://evil.example"},
    {"x_forwarded_proto": "https"},
    {"x_forwarded_host": "evil.example", "x_forwarded_proto": "https"},
    {"x_forwarded_prefix": "/evil"},
    {"forwarded": "host=evil.example;proto=https"},
    {"x_forwarded_host": "evil.example, 127.0.0.1"},
    {"x_forwarded_port": "666"},
    {"x_direct_url": "http://evil.example"},
    {"x_original_host": "evil.example"},
    {"x_host": "evil.example"},
    {"x_forwarded_server": "evil.example"},
    {"x_original_url": "/studio/ticket/x"},
    {"x_rewrite_url": "/config"},
    {"x_gradio_server": "javascript:alert(1)//"},
]


@attack("S12", "{0} sets where the page's scripts send to", FORWARDED, quick=2)
def sets_the_root(stage: Stage, headers: dict[str, str]) -> Outcome:
    """From an address that is no proxy of ours."""
    who = Visitor(stage.demo, address="127.5.5.5")
    text = "".join(who.get(path, **headers).text for path in ("/", "/theme.css"))
    roots = set(re.findall(r'"root":\s*"([^"]*)"', text))
    evil = re.findall(r".{30}(?:evil|https://127|:666|alert\(1\)).{20}", text)
    return outcome(
        bool(evil) or any("evil" in each or each.startswith("https") for each in roots), f"roots: {roots}; {evil[:2]}"
    )


@attack("S12", "X-Forwarded-Proto of a stranger has the session's cookie or HSTS sent for HTTPS")
def sets_the_scheme(stage: Stage) -> Outcome:
    who = Visitor(stage.locked, address="127.5.5.6")
    answer = who.get("/", x_forwarded_proto="https")
    return outcome("strict-transport-security" in answer.headers, str(answer.headers.get("strict-transport-security")))


@attack(
    "S12",
    "The internal header {0} is taken from outside",
    [
        {"x_studio_role": "owner"},
        {"x_studio_address": "10.0.0.1"},
        {"X_STUDIO_ROLE": "owner"},
        {"x_studio_workspace": "default"},
    ],
)
def internal_headers(stage: Stage, headers: dict[str, str]) -> Outcome:
    who = Visitor(stage.locked)
    answer = who.get("/studio/bar", **headers)
    guest = Visitor(stage.demo)
    demo = guest.get("/studio/bar", **headers)
    return outcome(
        answer.status != 401 or demo.status == 200, f"with a password {answer.status}, in a demo {demo.status}"
    )


HOSTS = [
    "[::1]evil.com",
    "127.0.0.1:evil.com",
    "evil.com",
    "127.0.0.1.evil.com",
    "localhost.evil.com",
    "localhost:80@evil.com",
    "evil.com#127.0.0.1",
    "127.0.0.1:7860.evil.com",
    "[::1]:80evil",
    "[::1",
    "[::1]]",
    "::1]evil",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "127.0.0.1:-1",
    "127.0.0.1:80:80",
    "localhost,evil.com",
    "localhost evil.com",
    "[::ffff:evil.com]",
    "0x7f000001",
    "2130706433",
    "127.1",
    "0.0.0.0",
    "localhost.",
    "LOCALHOST.EVIL",
    "evil.com:127.0.0.1",
    "[evil.com]",
    "localhost\tevil",
    "127.0.0.1/evil.com",
    "127.0.0.1?evil.com",
    "127.0.0.1\\evil.com",
    "*",
    "",
]


@attack("S13", "The Host {0} is taken for this machine's", HOSTS, quick=2)
def hosts(stage: Stage, host: str) -> Outcome:
    answer = Visitor(stage.alone, address="127.0.0.1").get("/studio/bar", host=host)
    return outcome(answer.status not in (400, 403, 421), f"status {answer.status}")


def origins(port: int) -> list[tuple[str, list[str]]]:
    own = f"http://127.0.0.1:{port}"
    return [
        ("an https origin on http", [f"https://127.0.0.1:{port}"]),
        ("two origins, the own one last", ["http://evil.example", own]),
        ("two origins, the own one first", [own, "http://evil.example"]),
        ("both in one line", [f"{own}, http://evil.example"]),
        ("another port", ["http://127.0.0.1:1"]),
        ("another scheme", [f"ftp://127.0.0.1:{port}"]),
        ("null", ["null"]),
        ("an empty origin", [""]),
        ("a user in the origin", [f"http://evil@127.0.0.1:{port}"]),
        ("the own name as a user", [f"http://127.0.0.1:{port}@evil.example"]),
        ("the own name as a part of another", [f"http://127.0.0.1:{port}.evil.example"]),
        ("a path in the origin", [f"{own}/evil.example"]),
        ("no scheme", [f"127.0.0.1:{port}"]),
        ("two slashes alone", [f"//127.0.0.1:{port}"]),
        ("localhost for 127.0.0.1", [f"http://localhost:{port}"]),
        ("javascript", [f"javascript://127.0.0.1:{port}"]),
        ("a tab in it", [f"http://127.0.0.1:{port}\t.evil.example"]),
    ]


@attack(
    "S13",
    "A request that changes something is taken from {0}",
    [(each[0], number) for number, each in enumerate(origins(1))],
    quick=3,
)
def origins_taken(stage: Stage, payload: tuple[str, int]) -> Outcome:
    served = stage.alone
    _, sent = origins(served.port)[payload[1]]
    lines = "".join(f"Origin: {each}\r\n" for each in sent)
    answer = send_raw(
        served,
        (
            f"POST /studio/workspace HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n{lines}"
            "Content-Length: 4\r\nContent-Type: application/json\r\n"
            "Connection: close\r\n\r\nnull"
        ).encode(),
    )
    status = int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    return outcome(status == 200, f"status {status}")


@attack(
    "S13",
    "A page of another site ({0}) acts by a request without preflight",
    [
        ("cross-site", {"sec_fetch_site": "cross-site", "content_type": "text/plain"}),
        ("same-site", {"sec_fetch_site": "same-site", "content_type": "text/plain"}),
        ("as JSON", {"content_type": "application/json"}),
        ("as a form", {"content_type": "application/x-www-form-urlencoded"}),
        ("with files", {"content_type": "multipart/form-data; boundary=x"}),
    ],
    quick=1,
)
def cross_site(stage: Stage, payload: tuple[str, dict[str, str]]) -> Outcome:
    who = Visitor(stage.alone, address="127.0.0.1")
    body = json.dumps(who.body({"page": "a", "region": "model-body", "said": {"act": "look"}}))
    statuses = [
        who.ask("POST", path, body, origin=origin, **payload[1]).status
        for path in (CALL, CALL + "/")
        for origin in ("http://evil.example", "null", f"http://localhost:{stage.alone.port}")
    ]
    return outcome(any(each != 403 for each in statuses), f"{statuses}")


def listening_outside(served: Served) -> list[str]:
    """Addresses of this machine but loopback on which a server answers."""
    found = []
    for address in {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        if not address.startswith("127."):
            try:
                socket.create_connection((address, served.port), 1).close()
                found.append(address)
            except OSError:
                continue
    return found


@attack("S13", "The studio of one person is reached from another machine")
def reached_from_outside(stage: Stage) -> Outcome:
    found = listening_outside(stage.alone)
    return outcome(bool(found), f"it answers on {found}")

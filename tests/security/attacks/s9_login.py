"""S9: the password: guessing it, locking its owner out, stealing or keeping a session."""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote_plus

from studio.ui.http.security import CALL
from tests.browser.served import Served
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import FORM, PASSWORD, Stage, Visitor, logged, time_call

RIGHT = f"password={quote_plus(PASSWORD)}"


def guess(who: Visitor, password: str, **headers: str) -> tuple[float, int]:
    """Seconds and status of one guess."""
    spent, answer = time_call(lambda: who.ask("POST", "/login", f"password={quote_plus(password)}", **FORM, **headers))
    return spent, getattr(answer, "status", 0)


def own_lock(stage: Stage) -> Served:
    """A studio with a password for one attack alone, since guesses are remembered."""
    return stage.serve("--host", "0.0.0.0", environment={"STUDIO_PASSWORD": PASSWORD})


FORWARDED = [
    "x_forwarded_for",
    "x_real_ip",
    "forwarded",
    "x_client_ip",
    "true_client_ip",
    "cf_connecting_ip",
    "x_studio_address",
]


@attack("S9", "Guesses from loopback with a changing {0} are never slowed down", FORWARDED, quick=1)
def changes_its_address(stage: Stage, header: str) -> Outcome:
    served = own_lock(stage)
    who, spent = Visitor(served, address="127.0.0.1"), []
    for number in range(4):
        value = f"for=10.1.2.{number}" if header == "forwarded" else f"10.1.2.{number}"
        seconds, status = guess(who, f"wrong{number}", **{header: value})
        spent.append(seconds)
        if status == 429:
            break
    else:
        status = 403
    return outcome(
        status != 429 and spent[-1] < 2 * spent[0] and spent[-1] < 2,
        f"seconds of the guesses: {[round(each, 1) for each in spent]}",
    )


@attack("S9", "Eight wrong guesses of one address keep the right password from there waiting", quick=True)
def locks_the_owner_out(stage: Stage) -> Outcome:
    served = own_lock(stage)
    attackers = [Visitor(served, address="127.6.6.6") for _ in range(8)]
    for each in attackers:
        each.patience = 70
    with ThreadPoolExecutor(9) as pool:
        for number, each in enumerate(attackers):
            pool.submit(guess, each, f"wrong{number}")
        time.sleep(1.5)
        owner = Visitor(served, address="127.6.6.6")
        owner.patience = 12
        spent, status = guess(owner, PASSWORD)
        for _ in range(2):
            if status != 429:
                break
            time.sleep(1)
            more, status = guess(owner, PASSWORD)
            spent += more + 1
        served.kill()
    return outcome(status != 303 or spent > 10, f"the right password was answered with {status} after {spent:.1f} s")


@attack("S9", "Wrong guesses of other addresses keep the owner waiting")
def locks_others_out(stage: Stage) -> Outcome:
    served = own_lock(stage)
    with ThreadPoolExecutor(41) as pool:
        for number in range(40):
            pool.submit(guess, Visitor(served), f"wrong{number}")
        time.sleep(1)
        owner = Visitor(served)
        owner.patience = 15
        spent, status = guess(owner, PASSWORD)
        served.kill()
    return outcome(status != 303 or spent > 10, f"{status} after {spent:.1f} s")


@attack("S9", "A session that was logged out still opens the studio", quick=True)
def stays_logged_in(stage: Stage) -> Outcome:
    who = Visitor(stage.locked)
    answer = who.ask("POST", "/login", RIGHT, **FORM)
    cookie = answer.headers.get("set-cookie", "").split(";")[0]
    inside = who.get("/studio/bar", cookie=cookie).status
    out = who.ask("POST", "/logout", "", cookie=cookie, **FORM)
    after = who.get("/studio/bar", cookie=cookie).status
    return outcome(inside != 200 or after != 401, f"before {inside}, /logout {out.status}, after {after}")


@attack("S9", "A page from elsewhere logs the owner out, or in")
def logs_out_from_elsewhere(stage: Stage) -> Outcome:
    who = Visitor(stage.locked)
    statuses = [
        who.ask("POST", path, RIGHT, origin="http://evil.example", **FORM).status for path in ("/login", "/logout")
    ]
    got = who.get("/logout", cookie=stage.cookie).status
    still = who.get("/studio/bar", cookie=stage.cookie).status
    return outcome(
        any(each < 400 for each in statuses) or still != 200, f"{statuses}; GET /logout {got}; the session: {still}"
    )


COOKIES = [
    "studio-session=" + "x" * 43,
    "studio-session=",
    "studio-session=0",
    "studio-session=admin",
    "studio-session=" + "A" * 4000,
    "studio-session=' OR 1=1 --",
    "studio-session=../../x",
    "STUDIO-SESSION=x",
    "studio-session=%00",
    "session=1; studio-session=null",
    "studio-session=\xff",
    "x-studio-role=owner",
]


@attack("S9", "The cookie {0} opens the studio", COOKIES)
def forged_cookies(stage: Stage, cookie: str) -> Outcome:
    answer = Visitor(stage.locked).get("/studio/bar", cookie=cookie)
    return outcome(answer.status not in (400, 401), f"{answer.status}")


CLOSED = [
    "/studio/bar",
    "/studio/run/last",
    "/studio/run/last/log",
    "/studio/run/last/report.json",
    "/studio/labels/x.csv",
    "/studio/ticket/x",
    "/gradio_api/queue/data?session_hash=x",
    "/gradio_api/app_id",
    "/gradio_api/heartbeat/x",
    "/gradio_api/component_server",
    "/gradio_api/component_server/",
    "/gradio_api/startup-events",
    "/theme.css",
    "/config",
    "/gradio_api/info",
    "/studio/static/../bar",
    "//studio/bar",
    "/studio/static/../../studio/bar",
    "/studio/static/..%2fbar",
    "/STUDIO/BAR",
    "/login/../studio/bar",
    "/;/studio/bar",
    "/studio/bar?x=/login",
    "/login?next=/studio/bar",
    "/studio//bar",
    "/%73tudio/bar",
    "/manifest.json",
    "/robots.txt",
]


@attack("S9", "{0} is answered without a password", CLOSED)
def reads_without_a_password(stage: Stage, path: str) -> Outcome:
    answer = Visitor(stage.locked).get(path)
    page = b"gradio_config" in answer.body or b'"bar"' in answer.body or b'"version"' in answer.body
    return outcome(
        answer.status == 200 and (b"Password" not in answer.body or page), f"{answer.status}: {answer.body[:80]!r}"
    )


WRITES = [
    ("POST", "/studio/press"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/component_server/"),
    ("PUT", "/studio/upload"),
    ("POST", "/studio/ticket"),
    ("POST", "/studio/workspace"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
    ("POST", "/studio/run/last/chat"),
    ("POST", "/studio/run/last/warm"),
    ("POST", "/"),
    ("DELETE", "/studio/bar"),
    ("PATCH", "/login"),
    ("TRACE", "/studio/bar"),
]


@attack("S9", "{0} is carried out without a password", [(f"{method} {path}", method, path) for method, path in WRITES])
def writes_without_a_password(stage: Stage, payload: tuple[str, str, str]) -> Outcome:
    _, method, path = payload
    answer = Visitor(stage.locked).ask(method, path, b"{}", content_type="application/json")
    asks = b'name="password"' in answer.body and b"gradio_config" not in answer.body
    return outcome(
        answer.status not in (400, 401, 403, 404, 405) and not asks, f"{answer.status}: {answer.body[:80]!r}"
    )


UNKNOWN = ["", "studio-session=" + "x" * 43, "studio-session=owner", "studio-device=x"]


@attack("S9", "An action is done without a password (cookie: {0})", UNKNOWN, quick=1)
def acts_without_a_password(stage: Stage, cookie: str) -> Outcome:
    """The call is right in all but the cookie."""
    who = Visitor(stage.locked)
    body = {
        "component_id": stage.locked_component,
        "fn_name": "act",
        "session_hash": "x",
        "data": {"secret": "", "page": "a", "region": "model-body", "said": {"act": "task", "value": "chat"}},
    }
    inside = who.post(CALL + "/", body, cookie=stage.cookie)
    assert inside.status == 200 and "model-body" in inside.text
    statuses = []
    for path in (CALL, CALL + "/"):
        for headers in ({}, {"x_studio_role": "owner"}, {"x_studio_workspace": "default"}):
            answer = who.post(path, body, **({"cookie": cookie} if cookie else {}), **headers)
            statuses.append(answer.status if "regions" not in answer.text else 200)
    return outcome(any(each != 401 for each in statuses), str(statuses))


GUESSES = [
    "",
    " ",
    "blue",
    "blue stone ",
    "BLUE STONE",
    "blue\x00stone",
    "*",
    "' OR '1'='1",
    "x" * 100_000,
    "scrypt$AAAA$AAAA",
    "\ud83d\ude00",
    "null",
    "true",
    "undefined",
    "password",
]


@attack("S9", "The password {0} is taken", GUESSES)
def wrong_passwords(stage: Stage, password: str) -> Outcome:
    from urllib.parse import quote

    with logged(stage.locked) as written:
        who = Visitor(stage.locked)
        answer = who.ask("POST", "/login", "password=" + quote(password, errors="surrogatepass"), **FORM)
        log = written()
    return outcome(
        answer.status == 303 or answer.status >= 500 or "Traceback" in log, f"{answer.status}; log: {log[-100:]!r}"
    )


@attack("S9", "The answer to a wrong password tells how close it was by its time")
def timing(stage: Stage) -> Outcome:
    spent: dict[str, list[float]] = {"x": [], "blue ston": []}
    for _ in range(3):
        for password in spent:
            spent[password].append(guess(Visitor(stage.locked), password)[0])
    near, far = min(spent["blue ston"]), min(spent["x"])
    return outcome(abs(near - far) > 0.3, f"least seconds: near {near:.2f}, far {far:.2f}")


@attack("S9", "The session's cookie can be read by scripts or sent by other sites")
def cookie_flags(stage: Stage) -> Outcome:
    cookie = Visitor(stage.locked).ask("POST", "/login", RIGHT, **FORM).headers["set-cookie"].lower()
    return outcome("httponly" not in cookie or "samesite=strict" not in cookie, cookie[-80:])


@attack(
    "S9",
    "The login page redirects to another site ({0})",
    ["//evil.example", "https://evil.example", "/\\evil.example"],
)
def open_redirect(stage: Stage, target: str) -> Outcome:
    who = Visitor(stage.locked)
    answers = [
        who.ask("POST", f"/login?next={target}&redirect={target}&url={target}", RIGHT, **FORM),
        who.ask(
            "POST", "/login", RIGHT, **FORM, host=f"127.0.0.1:{stage.locked.port}", x_forwarded_host="evil.example"
        ),
    ]
    places = [each.headers.get("location", "") for each in answers]
    return outcome(any("evil" in each for each in places), str(places))


@attack("S9", "The password stands in the arguments of a process or in the log")
def password_is_shown(stage: Stage) -> Outcome:
    import psutil

    guess(Visitor(stage.locked), "wrong pass word")
    arguments = " ".join(psutil.Process(stage.locked.process.pid).cmdline())
    log = stage.locked.log.read_text(errors="replace")
    return outcome(PASSWORD in arguments or PASSWORD in log or "wrong pass word" in log, "in the arguments or the log")

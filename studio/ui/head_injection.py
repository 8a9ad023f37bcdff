"""Puts our style and script first into the page's head: before Gradio asks anything, requests carry the secret."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class FirstInHead:
    """Rewrites the one HTML page, `GET /`, and nothing else."""

    def __init__(self, app: ASGIApp, head: str) -> None:
        self.app = app
        self.head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the page itself is held until it is whole."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def sending(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            page = bytes(body).replace(b"<head>", b"<head>" + self.head, 1)
            headers = [
                pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"cache-control")
            ]
            headers += [(b"content-length", str(len(page)).encode()), (b"cache-control", b"no-store")]
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, sending)

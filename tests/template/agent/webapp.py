"""Routes of the project's own beside the server's."""

import logging
import time
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from langgraph.config import get_store
from langgraph_sdk import get_client
from pydantic import BaseModel


class Teapot(Exception):
    pass


class Order(BaseModel):
    size: int


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.opened = "yes"
    yield {"given": "state"}
    logging.getLogger(__name__).warning("the template's lifespan is over")


app = FastAPI(lifespan=lifespan)
app.mount("/static", StaticFiles(directory=__file__.rpartition("/")[0]))


@app.exception_handler(Teapot)
async def short_and_stout(request, error):
    return JSONResponse({"teapot": True}, status_code=418)


@app.get("/custom/hello")
async def hello(request: Request) -> dict:
    return {"opened": app.state.opened, "given": request.state.given}


@app.get("/custom/slash/")
async def slash() -> str:
    return "with a slash"


@app.post("/custom/order")
async def order(order: Order) -> int:
    return order.size


@app.get("/custom/remembered")
async def remembered() -> dict:
    item = await get_store().aget(("texts",), "last")
    return item.value if item else {}


@app.get("/custom/remembered-sync")
def remembered_sync() -> dict:
    item = get_store().get(("texts",), "last")
    return item.value if item else {}


@app.get("/custom/assistants")
async def assistants() -> list[str]:
    return sorted(found["graph_id"] for found in await get_client().assistants.search())


@app.get("/custom/threads")
async def threads() -> int:
    return len(await get_client().threads.search())


@app.get("/custom/teapot")
async def teapot():
    raise Teapot


@app.get("/custom/missing")
async def missing():
    raise HTTPException(404, "No such thing")


@app.get("/custom/block")
async def block(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


@app.get("/info")
async def info() -> dict:
    return {"mine": True}


@app.get("/ok")
async def ok() -> dict:
    return {"ok": "never seen"}


@app.post("/assistants/count")
async def count() -> str:
    return "mine"


@app.get("/assistants/search")
async def search() -> str:
    return "mine"


@app.websocket("/custom/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()

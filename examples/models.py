"""A chat model that needs no API key: a plain function writes the answer, the model streams it token by token.

It owns the pace and the shape of the stream (text, then tool calls, one id per message); it never decides what to say.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool


class ScriptedChatModel(BaseChatModel):
    """Streams what `reply(messages)` returns, waiting `delay` seconds before each token (0 for tests)."""

    reply: Callable[[list[BaseMessage]], AIMessage]
    delay: float = 0.02

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Take the tools as a real model does; which of them to call is up to `reply`."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in chunks_of(self.reply(messages)):
            await asyncio.sleep(self.delay)
            yield chunk

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in chunks_of(self.reply(messages)):
            time.sleep(self.delay)
            yield chunk

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages))


def chunks_of(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """Cut a message into the chunks a provider would send; langchain-core gives them one id and marks the last."""
    for token in tokens(message.text):
        yield ChatGenerationChunk(message=AIMessageChunk(content=token))
    for index, call in enumerate(message.tool_calls):
        pieces = [tool_call_chunk(name=call["name"], args="", id=call["id"], index=index)]
        pieces += [tool_call_chunk(args=token, index=index) for token in tokens(json.dumps(call["args"]))]
        for piece in pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))


def tokens(text: str) -> list[str]:
    """Words with the space that follows them; joined, they are the text again."""
    return re.findall(r"\S+\s*|\s+", text)

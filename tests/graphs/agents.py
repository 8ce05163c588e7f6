"""An agent whose tool calls are streamed."""

from langgraph.prebuilt import ToolCallTransformer

from examples.chat import builder

agent = builder.compile(name="agent", transformers=[ToolCallTransformer])

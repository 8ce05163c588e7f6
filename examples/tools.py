"""The two tools of the chat example: a weather table and a calculator that reads arithmetic and nothing else."""

import ast
import operator
import re
from collections.abc import Callable

from langchain_core.tools import tool

WEATHER = {
    "Berlin": "14 °C with light rain",
    "Cairo": "31 °C and clear",
    "London": "13 °C and foggy",
    "Nairobi": "22 °C with some cloud",
    "New York": "17 °C and windy",
    "Oslo": "4 °C with snow",
    "Paris": "18 °C and sunny",
    "Sydney": "25 °C and sunny",
    "Tokyo": "20 °C and cloudy",
}

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@tool
async def weather(city: str) -> str:
    """Say what the weather is in a city."""
    found = {name.lower(): report for name, report in WEATHER.items()}.get(city.strip().lower())
    return f"It is {found} in {city}." if found else f"I have no weather report for {city}."


@tool
async def calculator(expression: str) -> str:
    """Work out an arithmetic expression, for example "12 * 7"."""
    if not re.fullmatch(r"[\d .+\-*/%()]{1,200}", expression, re.ASCII):
        return "I can only work out numbers and + - * / // % ( ), 200 characters at most."
    try:
        value = evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError) as error:
        return f"I cannot work out {expression}: {error}."
    return f"{expression} = {value:.12g}" if isinstance(value, float) else f"{expression} = {value}"


def evaluate(node: ast.expr) -> float:
    """The number an expression stands for. Raises ValueError for anything that is not plain arithmetic."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -evaluate(operand)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in OPERATORS:
            return OPERATORS[type(operation)](evaluate(left), evaluate(right))
    raise ValueError("that is not plain arithmetic")

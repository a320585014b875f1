"""Arithmetic in a data file: numbers, named parameters, + - * / ** and a few functions, nothing else."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "round": round,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
}
_LONGEST = 500


def names_in(text: str) -> set[str]:
    """Return the parameters that an expression uses.

    Raises
    ------
    ValueError
        If the text is no such expression.
    """
    tree = _parsed(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    unknown = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and not _is_known(node)]
    if unknown:
        raise ValueError(f"{ast.unparse(unknown[0])!r} is no allowed operation: only {', '.join(_FUNCTIONS)}")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def evaluate(text: str, parameters: Mapping[str, Any]) -> float:
    """Work out an expression.

    Raises
    ------
    ValueError
        If the text is no such expression, a parameter is missing or no number, or the result is not finite.
    """
    try:
        value = float(_value(_parsed(text).body, parameters))
    except (TypeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"{text!r} cannot be worked out: {error}") from error
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite")
    return value


def _parsed(text: str) -> ast.Expression:
    if len(text) > _LONGEST:
        raise ValueError(f"an expression of {len(text)} letters is too long")
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"{text!r} is no arithmetic expression") from error


def _is_known(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in _FUNCTIONS


def _value(node: ast.expr, parameters: Mapping[str, Any]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in parameters:
            return float(parameters[name])
        case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _BINARY:
            return float(_BINARY[type(kind)](_value(left, parameters), _value(right, parameters)))
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, parameters)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return float(_FUNCTIONS[name](*(_value(argument, parameters) for argument in arguments)))
    raise ValueError(f"{ast.unparse(node)!r} is no number, known parameter or allowed operation")

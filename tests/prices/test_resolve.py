"""Resolving: every way in which a model is named, and that nothing is found by a guess."""

import pytest

from farthing.prices.catalogue import Clause, Key, Names
from farthing.prices.resolve import Found, Resolver

MODELS: list[tuple[Key, Names]] = [
    (("openai", "gpt-4o"), Names(("gpt-4o-2024-08-06",))),
    (("openai", "gpt-5"), Names((), (Clause("regex", r"^gpt-5-\d{4}-\d{2}-\d{2}$"),))),
    (("openai", "text-embedding-3-small"), Names()),
    (("openai", "ambiguous-1"), Names(("ambiguous",))),
    (("openai", "ambiguous-2"), Names(("ambiguous",))),
    (("anthropic", "claude-sonnet-5"), Names((), (Clause("starts_with", "claude-sonnet-5-"),))),
    (("google", "gemini-2.5-pro"), Names((), (
        Clause("all", parts=(Clause("starts_with", "gemini-2.5-pro"), Clause("regex", "^(?!.*-tts$)"))),
    ))),
    (("google", "gemini-2.5-pro-tts"), Names((), (Clause("ends_with", "2.5-pro-tts"),))),
    (("aws", "meta.llama3-70b-instruct-v1:0"), Names()),
    (("bedrock", "meta.llama3-70b-instruct-v1:0"), Names()),
    (("aws", "anthropic.claude-sonnet-5-v1:0"), Names((), (Clause("contains", "anthropic.claude-sonnet-5-v1"),))),
    (("openrouter", "openai/gpt-4o"), Names()),
    (("openrouter", "meta-llama/llama-3-70b"), Names()),
    (("together_ai", "meta-llama/llama-3-70b"), Names()),
    (("groq", "only-here"), Names()),
    (("github-copilot", "gpt-4o"), Names()),
    (("Odd Vendor", "Mixed/Case:1"), Names()),
]  # fmt: skip


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    return Resolver(MODELS)


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        # the very id
        ("openai", "gpt-4o", ("openai", "gpt-4o")),
        ("github-copilot", "gpt-4o", ("github-copilot", "gpt-4o")),
        ("aws", "meta.llama3-70b-instruct-v1:0", ("aws", "meta.llama3-70b-instruct-v1:0")),
        ("OpenAI", " GPT-4o ", ("openai", "gpt-4o")),
        ("odd vendor", "mixed/case:1", ("Odd Vendor", "Mixed/Case:1")),
        # other names of the model
        ("openai", "gpt-4o-2024-08-06", ("openai", "gpt-4o")),
        ("openai", "gpt-5-2026-01-31", ("openai", "gpt-5")),
        ("openai", "gpt-5-20260131", ("openai", "gpt-5")),
        ("anthropic", "claude-sonnet-5-20261001", ("anthropic", "claude-sonnet-5")),
        ("google", "gemini-2.5-pro-preview-05-06", ("google", "gemini-2.5-pro")),
        ("google", "gemini-2.5-pro-tts", ("google", "gemini-2.5-pro-tts")),
        ("aws", "eu.anthropic.claude-sonnet-5-v1:0", ("aws", "anthropic.claude-sonnet-5-v1:0")),
        # other names of the provider
        ("bedrock_converse", "meta.llama3-70b-instruct-v1:0", ("aws", "meta.llama3-70b-instruct-v1:0")),
        ("bedrock", "meta.llama3-70b-instruct-v1:0", ("bedrock", "meta.llama3-70b-instruct-v1:0")),
        ("gemini", "gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        # who sells others' models at their prices
        ("azure", "gpt-4o", ("openai", "gpt-4o")),
        ("vertex_ai", "claude-sonnet-5-20261001", ("anthropic", "claude-sonnet-5")),
        # the provider in the name
        ("", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("openrouter", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("litellm", "openai/gpt-4o-2024-08-06", ("openai", "gpt-4o")),
        ("", "odd vendor/mixed/case:1", ("Odd Vendor", "Mixed/Case:1")),
        # no provider
        ("", "gpt-4o", ("openai", "gpt-4o")),
        ("", "claude-sonnet-5-20261001", ("anthropic", "claude-sonnet-5")),
        ("", "only-here", ("groq", "only-here")),
        ("", "meta.llama3-70b-instruct-v1:0", ("aws", "meta.llama3-70b-instruct-v1:0")),
    ],
)
def test_a_name_means_a_model(resolver, provider, model, found):
    assert resolver.find(provider, model) == Found(found)
    assert resolver.find(provider, model) == Found(found), "and so it does again"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("", ""),
        ("openai", ""),
        ("openai", "gpt-4"),
        ("openai", "gpt-4o-mini"),
        ("openai", "gpt-4o "[:-1] + "x"),
        ("openai", "claude-sonnet-5-1"),
        ("mistral", "gpt-4o"),
        ("nobody", "gpt-4o"),
        ("nobody", "openai/gpt-4o"),
        ("", "nobody/gpt-4o"),
        ("openai", "gpt-5-20261331"),
        ("", "/"),
        ("", "openai/"),
        ("", "g" * 1_000_000),
    ],
)
def test_what_is_not_in_the_catalogue_is_not_found(resolver, provider, model):
    assert resolver.find(provider, model) == Found(None)


def test_what_means_several_models_is_not_found_and_names_them(resolver):
    assert resolver.find("openai", "ambiguous") == Found(None, (("openai", "ambiguous-1"), ("openai", "ambiguous-2")))
    assert resolver.find("", "meta-llama/llama-3-70b") == Found(
        None, (("openrouter", "meta-llama/llama-3-70b"), ("together_ai", "meta-llama/llama-3-70b"))
    )


def test_no_more_than_so_many_answers_are_remembered():
    resolver = Resolver(MODELS, remembered=3)
    for number in range(10):
        resolver.find("", f"model-{number}")
    assert len(resolver._memory) == 3
    assert resolver.find("openai", "gpt-4o").key == ("openai", "gpt-4o")


def test_a_catalogue_without_models_finds_nothing():
    assert Resolver([]).find("", "gpt-4o") == Found(None)


@pytest.mark.parametrize(("provider", "model"), [("p" * 600, "gpt-4o"), ("openai", "m" * 600)])
def test_names_that_nobody_has_for_their_length_are_neither_found_nor_kept(provider, model):
    resolver = Resolver(MODELS)
    assert resolver.find(provider, model) == Found(None)
    assert resolver._memory == {}

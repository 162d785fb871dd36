"""Vendors: the names that providers go by, and whose a model is that is named without one.

Sources and client libraries call one provider by different names. Those of a group are tried in their order where the
catalogue does not have the model under the very name that was sent.
"""

import re
from typing import Final

GROUPS: Final[tuple[tuple[str, ...], ...]] = (
    ("openai", "openai-chat", "openai_responses", "openai-responses", "text-completion-openai", "chatgpt"),
    ("azure", "azure_ai", "azure-openai", "azure_openai", "az.ai.openai", "az.ai.inference", "azure.ai.openai",
     "azure.ai.inference", "azure_text", "azure-cognitive-services"),
    ("anthropic", "claude"),
    ("google", "gemini", "google-gla", "google-genai", "google_genai", "google-generativeai", "gcp.gemini",
     "gcp.gen_ai"),
    ("google-vertex", "vertex_ai", "google_vertexai", "vertex", "vertexai", "vertex_ai-language-models",
     "gcp.vertex_ai", "google-vertex-anthropic", "vertex_ai-anthropic_models"),
    ("aws", "amazon-bedrock", "bedrock", "bedrock_converse", "aws.bedrock", "aws_bedrock"),
    ("mistral", "mistralai", "mistral_ai", "mistral-ai"),
    ("cohere", "cohere_chat", "cohere-chat"),
    ("x-ai", "xai", "x_ai", "grok"),
    ("deepseek", "deepseek-ai"),
    ("moonshotai", "moonshot", "moonshot-ai"),
    ("zai", "z-ai", "z.ai"),
    ("zhipuai", "zhipu"),
    ("voyageai", "voyage", "voyage-ai"),
    ("together", "together_ai", "togetherai", "together-ai"),
    ("fireworks", "fireworks_ai", "fireworks-ai"),
    ("alibaba", "dashscope", "qwen"),
    ("meta", "meta_llama", "llama"),
    ("minimax", "minimaxi"),
    ("github-copilot", "github_copilot"),
    ("groq", "groqcloud"),
)  # fmt: skip
"""Names of one provider, in the order in which they are tried."""

HOSTS: Final[dict[str, tuple[str, ...]]] = {
    "azure": ("openai",),
    "google-vertex": ("google", "anthropic"),
    "google": ("google-vertex",),
}
"""Groups that sell models of others at those vendors' own prices: tried last."""

MAKERS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), group)
    for pattern, group in (
        (r"(ft:)?(gpt-|chatgpt-|o[1-9](-|$)|text-embedding-(3|ada)|whisper-1|tts-1|dall-e|davinci|babbage)", "openai"),
        (r"claude", "anthropic"),
        (r"gemini", "google"),
        (r"(open-)?(mistral|mixtral|codestral|ministral|magistral|devstral|pixtral|voxtral)", "mistral"),
        (r"(command|c4ai)(-|$)", "cohere"),
        (r"grok", "x-ai"),
        (r"deepseek-", "deepseek"),
        (r"(kimi|moonshot)-", "moonshotai"),
        (r"voyage-", "voyageai"),
        (r"minimax-", "minimax"),
    )
)
"""How the names of a vendor's own models begin: a name without a provider means the vendor's."""

_group_of: Final = {name: group for group in GROUPS for name in group}


def group_of(provider: str) -> tuple[str, ...]:
    """All names of a provider, in their own order."""
    name = provider.strip().lower()
    return _group_of.get(name, (name,))


def names_of(provider: str) -> tuple[str, ...]:
    """All names of a provider, the one that was sent first."""
    return tuple(dict.fromkeys((provider.strip().lower(), *group_of(provider))))


def hosted_by(provider: str) -> tuple[str, ...]:
    """Names of those whose models it sells at their prices."""
    return tuple(name for vendor in HOSTS.get(group_of(provider)[0], ()) for name in names_of(vendor))


def makers_of(model: str) -> tuple[str, ...]:
    """Names of the vendor whose own model it is by its name; none where that says nothing."""
    name = model.lower()
    for pattern, group in MAKERS:
        if pattern.match(name):
            return names_of(group)
    return ()

"""Code that calls the API: curl, Python, JavaScript and LangChain."""

import json

from studio.schema.report import Usage

KEY = "STUDIO_API_KEY"
"""The environment variable that holds the key."""
PROMPT = "Where is my parcel?"


def snippets(address: str, model: str, classifies: bool) -> tuple[Usage, ...]:
    """Code for a model of the API at an address, which ends with /v1."""
    return _for_labels(address, model) if classifies else _for_replies(address, model)


def _for_replies(address: str, model: str) -> tuple[Usage, ...]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}]})
    curl = f"""curl {address}/chat/completions \\
  -H "Authorization: Bearer ${KEY}" \\
  -H "Content-Type: application/json" \\
  -d '{body}'"""
    python = f"""# pip install openai
import os

from openai import OpenAI

client = OpenAI(base_url="{address}", api_key=os.environ["{KEY}"])
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "{PROMPT}"}}],
    temperature=0,
)
print(answer.choices[0].message.content)"""
    javascript = f"""// npm install openai
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{address}", apiKey: process.env.{KEY} }});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "{PROMPT}" }}],
  temperature: 0,
}});
console.log(answer.choices[0].message.content);"""
    langchain = f"""# pip install langchain-openai
import os

from langchain_openai import ChatOpenAI

llm = ChatOpenAI(model="{model}", base_url="{address}", api_key=os.environ["{KEY}"], temperature=0)
print(llm.invoke("{PROMPT}").content)"""
    return (
        Usage(title="curl", language="sh", code=curl),
        Usage(title="Python", language="python", code=python),
        Usage(title="JavaScript", language="javascript", code=javascript),
        Usage(title="LangChain", language="python", code=langchain),
    )


def _for_labels(address: str, model: str) -> tuple[Usage, ...]:
    body = json.dumps({"model": model, "input": [PROMPT]})
    curl = f"""curl {address}/classify \\
  -H "Authorization: Bearer ${KEY}" \\
  -H "Content-Type: application/json" \\
  -d '{body}'"""
    python = f"""import json
import os
from urllib.request import Request, urlopen

body = json.dumps({{"model": "{model}", "input": ["{PROMPT}"]}}).encode()
headers = {{"Authorization": "Bearer " + os.environ["{KEY}"], "Content-Type": "application/json"}}
for row in json.load(urlopen(Request("{address}/classify", body, headers)))["data"]:
    print(row["label"], row["labels"])"""
    javascript = f"""const answer = await fetch("{address}/classify", {{
  method: "POST",
  headers: {{ Authorization: `Bearer ${{process.env.{KEY}}}`, "Content-Type": "application/json" }},
  body: JSON.stringify({{ model: "{model}", input: ["{PROMPT}"] }}),
}});
for (const row of (await answer.json()).data) console.log(row.label, row.labels);"""
    return (
        Usage(title="curl", language="sh", code=curl),
        Usage(title="Python", language="python", code=python),
        Usage(title="JavaScript", language="javascript", code=javascript),
    )

from __future__ import annotations

from monitor.common.environments import environment_of, known_as


def test_environments_by_file_folder_and_name() -> None:
    names = {
        ".env.production": "production", "prod/.env": "production", "deploy/staging/web.env": "staging",
        ".env.local": "development", ".env.production.local": "development", "api-dev/.env": "development",
        ".env.test": "test", ".env": None, "product/.env": None, "Production": "production", "prod/eu": "production",
        "eu-prod": "production", "prod_eu": "production", "pre-production": "staging", ".env.pre-prod": "staging",
        "eu-pre-prod/.env": "staging", "non-prod": "not production", "github-pages": None, "": None,
    }  # fmt: skip
    assert {name: environment_of(name) for name in names} == names


def test_names_of_one_environment_are_one() -> None:
    assert known_as("PROD") == known_as("live") == "production"
    assert known_as("EU-West") == "eu-west"

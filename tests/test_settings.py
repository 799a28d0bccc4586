"""The settings, and the page that lists them."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from crmsync_server.adapters.accounts import accounts
from crmsync_server.settings import Settings
from crmsync_server.settings.reference import reference

PAGE = Path(__file__).parent.parent / "docs/reference/settings.md"


def test_the_reference_is_fresh() -> None:
    """The page is what `reference()` renders; write that to it after a change."""
    assert PAGE.read_text() == reference()


def test_every_setting_says_what_it_means() -> None:
    """A row without a meaning helps nobody."""
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("told", ["90", "90.0", "PT1M30S", "00:01:30"])
def test_a_duration_can_be_told_in_seconds(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain seconds, ISO 8601 or a clock's notation."""
    monkeypatch.setenv("CRMSYNC_ENGINE_LEASE", told)
    assert Settings().engine_lease == timedelta(seconds=90)


@pytest.mark.parametrize("told", ["0", "-5", "soon"])
def test_a_useless_duration_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of its setting."""
    monkeypatch.setenv("CRMSYNC_ENGINE_LEASE", told)
    with pytest.raises(ValidationError, match="engine_lease"):
        Settings()


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a compose file leaves it when its own variable is missing."""
    monkeypatch.setenv("CRMSYNC_DATABASE_URL", "")
    assert Settings().database_url is None


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings gives away neither password nor token."""
    for name in ("HUBSPOT_TOKEN", "BREVO_API_KEY", "JWT_SECRET"):
        monkeypatch.setenv(f"CRMSYNC_{name}", "hunter2" * 5)
    monkeypatch.setenv("CRMSYNC_N8N_SECRETS", '{"password": "hunter2"}')
    monkeypatch.setenv("CRMSYNC_DATABASE_URL", "postgresql://crmsync:hunter2@localhost/crmsync")
    assert "hunter2" not in repr(Settings())


def test_secrets_do_not_show_where_they_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error names the setting alone."""
    monkeypatch.setenv("CRMSYNC_DATABASE_URL", "mysql://crmsync:hunter2@localhost/crmsync")
    with pytest.raises(ValidationError, match="database_url") as raised:
        Settings()
    assert "hunter2" not in str(raised.value)


def test_a_short_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees one HS256 token can guess a short secret at leisure."""
    monkeypatch.setenv("CRMSYNC_JWT_SECRET", "short")
    with pytest.raises(ValidationError, match=r"jwt_secret\n.*32 characters or more"):
        Settings()


def test_a_file_of_keys_that_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the start: a server without keys would refuse every caller."""
    monkeypatch.setenv("CRMSYNC_JWKS_FILE", str(tmp_path / "missing.json"))
    with pytest.raises(ValidationError, match=r"jwks_file\n.*does not point to a file"):
        Settings()


def test_the_data_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute XDG_DATA_HOME counts, a relative one is ignored as the specification says."""
    monkeypatch.delenv("CRMSYNC_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/share")
    assert Settings().data_dir == Path("/srv/share/crmsync")
    monkeypatch.setenv("XDG_DATA_HOME", "share")
    assert Settings().data_dir == Path.home() / ".local/share/crmsync"


@pytest.mark.parametrize("told", ["50051", "127.0.0.1", "127.0.0.1:99999", "localhost:grpc"])
def test_an_address_that_cannot_be_listened_on_is_refused(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GRPC itself would take the port modulo 65536."""
    monkeypatch.setenv("CRMSYNC_GRPC_ADDRESS", told)
    with pytest.raises(ValidationError, match="host:port"):
        Settings()


@pytest.mark.parametrize("told", ["{x", "[]", "3", "null", '{"burst_calls": 100}'])
def test_options_that_are_no_object_of_texts_are_refused(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name of their setting, and with what would be right."""
    monkeypatch.setenv("CRMSYNC_HUBSPOT_OPTIONS", told)
    with pytest.raises(ValidationError, match=r"hubspot_options\n.*JSON object of texts"):
        Settings()


def test_networks_are_a_list_in_cidr_notation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either version, separated by commas."""
    monkeypatch.setenv("CRMSYNC_ALLOWED_NETWORKS", "10.0.0.0/8, fd00::/8")
    assert [str(one) for one in Settings().allowed_networks] == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize("told", ["10.0.0.0/33", "10.0.0.1/8", "crm.example.com", "10.0.0.0/8;::"])
def test_a_network_that_is_none_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of its setting, and with what would be right."""
    monkeypatch.setenv("CRMSYNC_ALLOWED_NETWORKS", told)
    with pytest.raises(ValidationError, match=r"allowed_networks\n.*such as 10.0.0.0/8"):
        Settings()


def test_options_are_read_from_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the adapter takes them."""
    monkeypatch.setenv("CRMSYNC_HUBSPOT_OPTIONS", '{"burst_calls": "100"}')
    assert Settings().hubspot_options == {"burst_calls": "100"}


MAUTIC = {"mautic_base_url": "https://mautic.example.com"}
USER = {"mautic_username": "sync", "mautic_password": "secret"}
APPLICATION = {"mautic_client_id": "1_x", "mautic_client_secret": "secret"}


@pytest.mark.parametrize(
    "told",
    [{}, {"mautic_username": "sync"}, USER | APPLICATION, USER | {"mautic_client_id": "1_x"}],
)
def test_mautic_needs_one_whole_kind_of_credentials(told: dict[str, str]) -> None:
    """And what is missing is named, without its value."""
    with pytest.raises(ValidationError, match="needs either CRMSYNC_MAUTIC_USERNAME") as refused:
        Settings.model_validate(MAUTIC | told)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("told", [USER, APPLICATION])
def test_either_kind_of_credentials_leads_to_mautic(told: dict[str, str]) -> None:
    """The adapter gets those that are set, and no others."""
    account = accounts(Settings.model_validate(MAUTIC | told))["mautic"]
    assert account.base_url == "https://mautic.example.com"
    assert account.secrets == {name.removeprefix("mautic_"): told[name] for name in told}


ZOHO = {
    "zoho_client_id": "1000.X",
    "zoho_client_secret": "secret",
    "zoho_refresh_token": "1000.refresh",
}


@pytest.mark.parametrize("missing", ZOHO)
def test_zoho_needs_all_of_its_credentials(missing: str) -> None:
    """And what is missing is named, without its value."""
    told = {name: value for name, value in ZOHO.items() if name != missing}
    with pytest.raises(ValidationError, match="are needed together") as refused:
        Settings.model_validate(told)
    assert "secret" not in str(refused.value)


def test_credentials_lead_to_zoho_in_the_data_centre_that_is_named() -> None:
    """That of the United States, unless it is another one."""
    account = accounts(Settings.model_validate(ZOHO))["zoho"]
    assert account.base_url == "https://www.zohoapis.com"
    assert account.secrets == {name.removeprefix("zoho_"): value for name, value in ZOHO.items()}
    europe = ZOHO | {"zoho_base_url": "https://www.zohoapis.eu"}
    assert accounts(Settings.model_validate(europe))["zoho"].base_url == "https://www.zohoapis.eu"
    assert "zoho" not in accounts(Settings.model_validate({}))


WHATSAPP = {
    "whatsapp_access_token": "secret",
    "whatsapp_app_secret": "signs",
    "whatsapp_waba_id": "102290129340398",
}


def test_a_token_leads_to_whatsapp_with_the_account_that_it_is_for() -> None:
    """Which is needed; the rest is what is set."""
    told = WHATSAPP | {"whatsapp_options": '{"business_id": "7"}'}
    account = accounts(Settings.model_validate(told))["whatsapp"]
    assert account.base_url == "https://graph.facebook.com/v23.0"
    assert account.secrets == {"access_token": "secret", "app_secret": "signs"}
    assert account.options == {"business_id": "7", "waba_id": "102290129340398"}
    assert "whatsapp" not in accounts(Settings.model_validate({}))
    with pytest.raises(ValidationError, match="CRMSYNC_WHATSAPP_WABA_ID") as refused:
        Settings.model_validate({"whatsapp_access_token": "canary"})
    assert "canary" not in str(refused.value)


def test_a_mautic_without_an_address_is_no_account() -> None:
    """Its credentials alone lead nowhere."""
    assert "mautic" not in accounts(Settings.model_validate(USER))


TRADING = {"trading_base_url": "https://crm.broker.example:4477"}
AFFILIATE = {"trading_username": "affiliate", "trading_password": "secret"}
KEY = {"trading_token": "key"}


@pytest.mark.parametrize("told", [{}, {"trading_username": "affiliate"}, AFFILIATE | KEY])
def test_a_trading_crm_needs_one_whole_kind_of_credentials(told: dict[str, str]) -> None:
    """Naming the variables."""
    with pytest.raises(ValidationError, match="CRMSYNC_TRADING_USERNAME and _PASSWORD"):
        Settings.model_validate(TRADING | told)


@pytest.mark.parametrize("told", [AFFILIATE, KEY])
def test_either_kind_of_credentials_leads_to_a_trading_crm(told: dict[str, str]) -> None:
    """Under the names that its adapter knows."""
    account = accounts(Settings.model_validate(TRADING | told))["trading"]
    assert account.base_url == "https://crm.broker.example:4477"
    names = {name.removeprefix("trading_"): value for name, value in told.items()}
    assert account.secrets == names

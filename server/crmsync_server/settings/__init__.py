"""Every setting: an environment variable `CRMSYNC_` and the field's name in capitals.

`reference` renders docs/reference/settings.md from them.
"""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crmsync_server.settings.addresses import (
    Address,
    DatabaseUrl,
    PublicUrl,
    TcpAddress,
    data_dir_of_xdg,
)
from crmsync_server.settings.credentials import require_whole
from crmsync_server.settings.keys import EncryptionKeys
from crmsync_server.settings.kinds import (
    Duration,
    LogFormat,
    Networks,
    Options,
    Secrets,
    SigningSecret,
)


class Settings(BaseSettings):
    """What a server is told. An empty variable counts as unset.

    Durations are seconds (`90`) or ISO 8601 (`PT1M30S`).
    """

    model_config = SettingsConfigDict(
        env_prefix="CRMSYNC_",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
        use_attribute_docstrings=True,
    )

    # --- the database ---

    database_url: DatabaseUrl | None = None
    """Your own PostgreSQL, 15 or newer, as `postgresql://user:password@host:port/database`; its
    user owns the database and is no superuser. Unset: an embedded PostgreSQL in the data
    directory."""
    database_direct_url: DatabaseUrl | None = None
    """The same database past its pooler, for LISTEN. Unset: the database's URL."""
    database_prepared_statements: bool = True
    """Whether statements stay prepared on their connections. Set to false behind a PgBouncer in
    transaction mode."""
    database_pool_size: int = Field(default=10, ge=1)
    """Connections kept open by each process."""
    database_pool_overflow: int = Field(default=10, ge=0)
    """Connections opened beyond those when all are busy, and closed after use."""
    database_pool_timeout: Duration = timedelta(seconds=30)
    """How long to wait for a connection when all are busy."""
    data_dir: Path = Field(default_factory=data_dir_of_xdg)
    """The folder of the embedded PostgreSQL and of the development secret; made if missing. Unset:
    `$XDG_DATA_HOME/crmsync`, which is `~/.local/share/crmsync` where that is unset."""

    # --- the doors ---

    grpc_address: Address = "127.0.0.1:50051"
    """Where gRPC is served, as `host:port`; port 0 takes a free one. Without one of
    `CRMSYNC_JWT_SECRET`, `CRMSYNC_JWKS_URL` and `CRMSYNC_JWKS_FILE` only loopback addresses are
    served."""
    max_message_bytes: int = Field(default=16 * 1024 * 1024, ge=128 * 1024)
    """The longest message taken or sent, in bytes; a longer one is RESOURCE_EXHAUSTED."""
    http_address: TcpAddress | None = None
    """Where HTTP is served, as `host:port`: webhooks of CRMs at `/webhooks/`, `/metrics` and
    `/healthz`. It is plain HTTP; a proxy before it speaks TLS. Unset: nowhere."""
    public_url: PublicUrl | None = None
    """Where CRMs reach that from outside, as `https://sync.example.com`: HubSpot signs the whole
    address that it calls. Unset: what each request itself names as its host, by http, which is
    right only where nothing stands in between."""
    http_timeout: Duration = timedelta(seconds=10)
    """How long a request over HTTP may take to arrive, and a connection may do nothing."""
    max_webhook_bytes: int = Field(default=1024 * 1024, ge=64 * 1024)
    """The longest body of a webhook, in bytes; a longer one is refused while it comes."""
    metrics_networks: Networks = ()
    """Networks that `/metrics` is served to besides this machine, as `10.0.0.0/8,fd00::/8`. Unset:
    none."""
    drain_timeout: Duration = timedelta(seconds=20)
    """How long a stopping server lets calls and deliveries end by themselves."""

    # --- access ---

    jwt_secret: SigningSecret | None = None
    """The secret of HS256 tokens, 32 characters or more."""
    jwks_url: str | None = Field(default=None, pattern="^https?://")
    """Where the keys of RS256 and ES256 tokens are published."""
    jwks_file: FilePath | None = None
    """The same keys in a file, which is there when the server starts."""
    jwt_audience: str | None = None
    """The audience (`aud`) that a token must name. Unset: any, or none."""
    jwt_issuer: str | None = None
    """The issuer (`iss`) that a token must name. Unset: any, or none."""
    org_claim: str = "org_id"
    """The claim that names the caller's organization."""
    roles_claim: str = "roles"
    """The claim that lists the caller's roles."""

    # --- the CRMs ---

    encryption_keys: EncryptionKeys | None = None
    """The keys that connections' credentials are encrypted under, as `id:base64` of 32 bytes each
    (`openssl rand -base64 32`), separated by commas: the first one encrypts, the others still
    decrypt. Unset: the file `encryption-keys` in the data directory, made when first needed; one
    database behind several data directories needs this."""
    allowed_networks: Networks = ()
    """Networks that CRMs may be called in besides public addresses, as `10.0.0.0/8,fd00::/8`: for
    self-hosted CRMs, and `127.0.0.0/8` for simulated ones. `serve --sandbox` adds that by itself.
    Unset: none."""
    hubspot_token: SecretStr | None = None
    """The access token of a HubSpot private app. Unset: no deliveries to HubSpot."""
    hubspot_base_url: str = "https://api.hubapi.com"
    """Where HubSpot's API begins."""
    hubspot_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts: `burst_calls`, `daily_calls`,
    `portal_id`."""
    brevo_api_key: SecretStr | None = None
    """The API key of a Brevo account. Unset: no deliveries to Brevo."""
    brevo_base_url: str = "https://api.brevo.com/v3"
    """Where Brevo's API begins."""
    brevo_list_id: int | None = Field(default=None, ge=1)
    """The Brevo list that contacts are put on. Unset: none."""
    brevo_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts."""
    n8n_webhook_url: str | None = None
    """The Production URL of an n8n workflow's Webhook node. Unset: no deliveries to n8n."""
    n8n_secrets: Secrets = Field(default_factory=dict)
    """What enters the webhook, as a JSON object of texts: `username` and `password`, or
    `header_name` and `header_value`, or `jwt_secret` or `token`; and `signing_secret`."""
    n8n_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts: `auth`, `batch_size`, `response`,
    `receiver_deduplicates`, `calls_per_second`, `concurrency`, `health_path`, `test_prefix`."""

    mautic_base_url: str | None = Field(default=None, pattern="^https?://")
    """Where your Mautic is, as `https://mautic.example.com`. Unset: no deliveries to Mautic. Set: a
    user's name and password are needed, or an application's id and secret."""
    mautic_username: str | None = None
    """The user of Mautic whose name and password are used."""
    mautic_password: SecretStr | None = None
    """The password of that user."""
    mautic_client_id: str | None = None
    """The id of an OAuth2 application in Mautic."""
    mautic_client_secret: SecretStr | None = None
    """The secret of that application, which acts for itself. One that a user authorized is given as
    a connection: its refresh token changes with every use, and a setting does not."""
    mautic_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts: `batch_size`, `hourly_calls`,
    `timeout_seconds`."""

    zoho_client_id: str | None = None
    """The id of a client in Zoho's API console. Unset: no deliveries to Zoho CRM. Set: its secret
    and a refresh token are needed."""
    zoho_client_secret: SecretStr | None = None
    """The secret of that client."""
    zoho_refresh_token: SecretStr | None = None
    """The refresh token that the client was granted; it does not change."""
    zoho_base_url: str = Field(default="https://www.zohoapis.com", pattern="^https?://")
    """Where Zoho's API begins, which names the data centre: `https://www.zohoapis.eu`."""
    zoho_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts: `edition`, `daily_credits`, `burst_calls`,
    `trigger`, `duplicate_check_fields`, `company_field`, `bulk_read_threshold`, `accounts_url`,
    `timeout_seconds`."""

    trading_base_url: str | None = Field(default=None, pattern="^https?://")
    """Where a broker's Trading CRM is, as `https://crm.broker.example:4477`. Unset: no leads are
    handed to one. Set: a user's name and password are needed, or a token."""
    trading_username: str | None = None
    """The user whose name and password give a token for a day."""
    trading_password: SecretStr | None = None
    """The password of that user."""
    trading_token: SecretStr | None = None
    """The key that a broker hands out in place of a name and a password; it does not expire."""
    trading_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts: `calls_per_second`, `timeout_seconds`."""

    whatsapp_access_token: SecretStr | None = None
    """The access token of a system user at Meta. Unset: no messages by WhatsApp. Set: the id of the
    WhatsApp Business Account is needed."""
    whatsapp_app_secret: SecretStr | None = None
    """The secret of the Meta app, which signs webhooks. Unset: no webhook counts as genuine."""
    whatsapp_verify_token: SecretStr | None = None
    """What Meta shows when the webhook is set up; any text of your own. Unset: none is set up."""
    whatsapp_waba_id: str | None = Field(default=None, pattern="^[0-9]{1,64}$")
    """Meta's id of the WhatsApp Business Account."""
    whatsapp_options: Options = Field(default_factory=dict)
    """The adapter's options as a JSON object of texts: `business_id`, `version`,
    `messages_per_second`, `timeout_seconds`."""
    whatsapp_base_url: str = Field(default="https://graph.facebook.com/v23.0", pattern="^https?://")
    """Where Meta's Graph API begins, its version included; connections may name another address."""
    whatsapp_messages_per_second: float = Field(default=80, gt=0, le=1000)
    """How many WhatsApp messages are sent from one phone number in a second, by all servers
    together. Meta raises a number's own limit from 80 by itself."""

    # --- limits of callers ---

    subscription_required: bool = False
    """Whether ConversationService is only for callers whose token has the claim `subscription`."""
    dashboard_calls_per_hour: int = Field(default=100, ge=0)
    """How often a caller may call GetDashboard in an hour; 0 means as often as they like."""
    analytics_calls_per_hour: int = Field(default=100, ge=0)
    """How often a caller may call GetConversationAnalytics in an hour; 0 means as often as they
    like."""
    conversation_calls_per_hour: int = Field(default=500, ge=0)
    """How often a caller may call the other reading methods of ConversationService in an hour; 0
    means as often as they like."""
    contact_calls_per_hour: int = Field(default=0, ge=0)
    """How often a caller may call ContactService in an hour, ImportContacts left out; 0 means as
    often as they like."""

    # --- the engine ---

    engine_lease: Duration = timedelta(seconds=30)
    """How long a claimed contact stays with a server that gives no sign of life; then another one
    takes it. A server that works renews its leases three times in that time."""
    engine_max_retries: int = Field(default=5, ge=0)
    """How often a delivery that failed for a passing reason is tried again."""
    engine_backoff_base: Duration = timedelta(seconds=2)
    """The longest wait before the first retry; it doubles with every other one."""
    engine_backoff_cap: Duration = timedelta(minutes=10)
    """The longest wait before any retry."""
    engine_poll_interval: Duration = timedelta(seconds=5)
    """How often the queue is read when no hint of new work comes."""
    engine_rescue_interval: Duration = timedelta(seconds=15)
    """How often expired leases are returned to the queue."""
    quota_high_share: float = Field(default=0.1, ge=0, le=1)
    """What is kept of every allowance of a CRM for contacts of priority HIGH: 0.1 is a tenth. Of an
    allowance of a minute and less it is a quarter of that while there are none."""
    max_deletion_share: float = Field(default=0.2, ge=0, le=1)
    """How many of the contacts linked to a CRM a session may delete or unlink because they are gone
    there, unless its caller says otherwise: 0.2 is a fifth. More stop it before the first one."""
    max_deactivation_share: float = Field(default=0.2, ge=0, le=1)
    """How many of an organization's active users a reconcile may deactivate, unless its caller says
    otherwise: 0.2 is a fifth. More stop it, and nothing is changed."""
    bulk_wait: Duration = timedelta(seconds=30)
    """How long BulkService.ApplyBatch waits for the CRM at most, whatever its caller's deadline is.
    What has not ended by then is told as pending."""
    attempts_retention: Duration = timedelta(days=90)
    """How long the history of attempts is kept, in whole days."""
    sessions_retention: Duration = timedelta(days=90)
    """How long an ended session and its items are kept."""
    statistics_retention: Duration = timedelta(days=400)
    """How long statistics by the hour are kept, in whole days."""

    # --- the log ---

    log_format: LogFormat = LogFormat.CONSOLE
    """How log lines are written: `json` or `console`."""

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        require_whole(self)
        return self

    @property
    def authenticates(self) -> bool:
        """Whether callers must show a token."""
        return bool(self.jwt_secret or self.jwks_url or self.jwks_file)

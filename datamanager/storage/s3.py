"""The one place that talks to S3: obstore for the data, aiobotocore for the bucket itself."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from datamanager.config import S3Config
from datamanager.errors import ConfigError, NotFound, S3Unavailable
from datamanager.storage.multipart import Multipart
from datamanager.storage.presign import Presigner

__all__ = ["S3", "is_guarded", "open_s3"]


class S3:
    """One bucket.

    Keys are as `storage.keys` makes them. A missing key raises `NotFound`; every other failure `S3Unavailable`.

    Attributes:
        multipart: objects that others put in parts.
    """

    def __init__(self, store: S3Store, presigner: Presigner, inside: Presigner) -> None:
        self._store = store
        self._presigner = presigner
        self._inside = inside
        self.multipart = Multipart(inside)

    async def put(self, key: str, data: bytes, *, content_type: str | None = None) -> None:
        """Stores an object whole; when it returns, the object is durable. An object already there is replaced."""
        attributes: Mapping[str, str] | None = {"Content-Type": content_type} if content_type else None
        try:
            await obstore.put_async(self._store, key, data, attributes=attributes, use_multipart=False)  # type: ignore[arg-type]  # keys of attributes are open
        except BaseError as exc:
            raise S3Unavailable(f"S3 did not take {key}: {exc}") from exc

    async def get(self, key: str) -> bytes:
        """An object, whole."""
        try:
            answer = await obstore.get_async(self._store, key)
            return bytes(await answer.bytes_async())
        except (NotFoundError, FileNotFoundError) as exc:
            raise NotFound(f"there is no object {key}") from exc
        except BaseError as exc:
            raise S3Unavailable(f"S3 did not give {key}: {exc}") from exc

    async def read(self, key: str, offset: int, size: int) -> bytes:
        """The bytes of an object from `offset` on: `size` of them, of which there have to be so many."""
        return bytes(await self.view(key, offset, size))

    async def view(self, key: str, offset: int, size: int) -> memoryview:
        """The same, not copied: for who only looks at them."""
        try:
            return memoryview(await obstore.get_range_async(self._store, key, start=offset, length=size))
        except (NotFoundError, FileNotFoundError) as exc:
            raise NotFound(f"there is no object {key}") from exc
        except BaseError as exc:
            raise S3Unavailable(f"S3 did not give {key}: {exc}") from exc

    async def size(self, key: str) -> int | None:
        """How many bytes an object has; None when there is none."""
        try:
            return int((await obstore.head_async(self._store, key))["size"])
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as exc:
            raise S3Unavailable(f"S3 did not answer for {key}: {exc}") from exc

    async def copy(self, source: str, target: str) -> None:
        """Copies an object within S3; an object already there is replaced."""
        try:
            await obstore.copy_async(self._store, source, target)
        except (NotFoundError, FileNotFoundError) as exc:
            raise NotFound(f"there is no object {source}") from exc
        except BaseError as exc:
            raise S3Unavailable(f"S3 did not copy {source}: {exc}") from exc

    async def delete(self, keys: Sequence[str]) -> None:
        """Deletes objects. One that is not there is no error."""
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except (NotFoundError, FileNotFoundError):
                continue
            except BaseError as exc:
                raise S3Unavailable(f"S3 did not delete {key}: {exc}") from exc

    def sign(self, keys: Sequence[str], ttl_s: int) -> list[str]:
        """Pre-signed GET URLs of many keys, good for `ttl_s` seconds. Computed here, without asking S3."""
        return self._presigner.urls(keys, ttl_s)

    def sign_put(self, key: str, ttl_s: int) -> str:
        """A pre-signed URL by which the object can be put whole."""
        return self._presigner.requests("PUT", key, [{}], ttl_s)[0]

    def sign_parts(self, key: str, s3_upload_id: str, numbers: Sequence[int], ttl_s: int) -> list[str]:
        """Pre-signed URLs by which parts of a multipart upload can be put, one for each number."""
        queries = ({"partNumber": str(number), "uploadId": s3_upload_id} for number in numbers)
        return self._presigner.requests("PUT", key, queries, ttl_s)

    def inside_url(self, key: str, ttl_s: int) -> str:
        """A pre-signed GET URL by the address under which we reach S3 ourselves: for our own child processes."""
        return self._inside.urls([key], ttl_s)[0]

    async def ping(self) -> None:
        """Returns when S3 answers.

        Raises:
            S3Unavailable: it does not.
        """
        try:
            await obstore.head_async(self._store, "datamanager-ping")
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as exc:
            raise S3Unavailable(f"S3 does not answer: {exc}") from exc


def is_guarded(endpoint: str) -> bool:
    """Whether what goes to an address cannot be changed on its way: TLS guards it, or it stays on this machine."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        is_here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, which may lead anywhere
        is_here = False
    return parts.scheme == "https" or is_here


def _store(config: S3Config, endpoint: str) -> S3Store:
    return S3Store(
        config.bucket,
        endpoint=endpoint,
        region=config.region,
        access_key_id=config.access_key,
        secret_access_key=config.secret_key,
        virtual_hosted_style_request=False,
        # Nobody can change what TLS or this machine carries: signing each object's content would hash it once more.
        unsigned_payload=is_guarded(endpoint),
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "timeout": f"{config.timeout_s}s",
            "connect_timeout": "3s",
        },
        # What fails is tried again by whoever knows whether it still matters.
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
    )


def _presigner(config: S3Config, endpoint: str) -> Presigner:
    return Presigner(
        endpoint=endpoint,
        bucket=config.bucket,
        region=config.region,
        access_key=config.access_key,
        secret_key=config.secret_key,
    )


async def _is_there(store: S3Store) -> bool:
    """Whether the bucket is known to be there: of one that is missing, or of S3 itself, nothing can be listed."""
    try:
        await obstore.list_with_delimiter_async(store, prefix="datamanager-ping/")
    except BaseError:
        return False
    return True


async def _ensure_bucket(config: S3Config) -> None:
    # Only what makes buckets needs these, and they take a fifth of the time in which a killed server is back.
    from aiobotocore.config import AioConfig  # noqa: PLC0415  # see above
    from aiobotocore.session import get_session  # noqa: PLC0415  # see above
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # see above

    session = get_session()
    try:
        async with session.create_client(
            "s3",
            endpoint_url=config.endpoint,
            region_name=config.region,
            aws_access_key_id=config.access_key,
            aws_secret_access_key=config.secret_key,
            config=AioConfig(
                signature_version="s3v4", s3={"addressing_style": "path"}, connect_timeout=3, read_timeout=10
            ),
        ) as client:
            try:
                await client.head_bucket(Bucket=config.bucket)
            except ClientError as exc:
                if exc.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                    raise
                await client.create_bucket(Bucket=config.bucket)
    except ClientError as exc:
        if exc.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            return
        raise S3Unavailable(f"S3 bucket {config.bucket}: {exc}") from exc
    except (BotoCoreError, OSError) as exc:
        raise S3Unavailable(f"S3 at {config.endpoint} does not answer: {exc}") from exc


@asynccontextmanager
async def open_s3(config: S3Config) -> AsyncIterator[S3]:
    """Opens the bucket, and makes it when it is not there.

    Raises:
        ConfigError: the endpoint or the keys cannot be used.
        S3Unavailable: S3 does not answer.
    """
    if not config.access_key or not config.secret_key:
        raise ConfigError("DATAMANAGER_S3_ACCESS_KEY and DATAMANAGER_S3_SECRET_KEY must be set")
    try:
        store = _store(config, config.endpoint)
    except (BaseError, ValueError) as exc:
        raise ConfigError(f"DATAMANAGER_S3_ENDPOINT={config.endpoint!r}: {exc}") from exc
    if not await _is_there(store):
        await _ensure_bucket(config)
    yield S3(store, _presigner(config, config.public_endpoint or config.endpoint), _presigner(config, config.endpoint))

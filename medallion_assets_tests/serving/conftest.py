"""The shop, served by a real server on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from medallion_assets.lake.catalog import Lake
from medallion_assets.local.processes import free_port
from medallion_assets.serving.app import create_app
from medallion_assets.serving.limits import Limits
from medallion_assets.serving.server import LOCAL_HOSTS
from medallion_assets.serving.service import Service
from medallion_assets.settings import Settings
from medallion_assets_tests.gold.shop import MARTS, Shop, customer, order, product

LIMITS = Limits(seconds=20, rows=1000, result_bytes=2**20, running=2, waiting=2, memory_mb=256)


@dataclass(frozen=True)
class Served:
    """A running server over the shop."""

    shop: Shop
    service: Service
    client: httpx.Client

    def ask(self, sql: str, **more: object) -> httpx.Response:
        """Ask for the rows of a SELECT."""
        return self.client.post("/v1/sql", json={"sql": sql, **more})


@contextmanager
def run_server(service: Service) -> Iterator[str]:
    """Run the application on a free port while inside; yield its URL."""
    port = free_port()
    app = create_app(service, hosts=LOCAL_HOSTS)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def shop_settings(folder: Path) -> Settings:
    """Return the settings of a shop whose layers are below a folder."""
    return Settings(
        domain="ecommerce",
        bronze=str(folder / "bronze"),
        warehouse=str(folder / "lake"),
        catalog="sqlite",
        region="eu-west-1",
    )


@contextmanager
def serve_shop(folder: Path, *, orders: int) -> Iterator[Served]:
    """Serve a shop with two customers, a product and orders, and its marts."""
    settings = shop_settings(folder)
    with Lake.open(settings.lake()) as lake:
        shop = Shop(lake)
        shop.write("customers", customer(1), customer(2))
        shop.write("products", product(1))
        shop.write("orders", *(order(number) for number in range(1, orders + 1)))
        for mart in MARTS:
            shop.refresh(mart)
        with (
            Service(settings, LIMITS, None) as service,
            run_server(service) as url,
            httpx.Client(base_url=url) as client,
        ):
            yield Served(shop, service, client)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The shop with forty orders; tests only read it."""
    with serve_shop(tmp_path_factory.mktemp("served"), orders=40) as serving:
        yield serving

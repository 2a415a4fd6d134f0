"""The asset `site/<domain>`: the page with the numbers, written as static files after each refresh of Gold.

Belongs here: the asset, and whether a domain has a site. Does not belong here: when it runs (sensors, observe), what is
written (site).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart


def site_keys(domain: Domain, marts: Sequence["Mart"], names: Names) -> list[dg.AssetKey]:
    """Return the key of the domain's site; none without marts, because there would be nothing to show."""
    return [names.site_key(domain.name)] if marts else []


def site_asset(domain: Domain, marts: Sequence["Mart"], names: Names) -> dg.AssetsDefinition:
    """Return the asset whose step writes the numbers that are published, and the state of the marts.

    The sensor on Bronze adds it to its runs, and the job `observe` writes it when a table is held or nothing came; both
    only where the setting `site` says where. Without that the step does nothing and materializes nothing.
    """

    @dg.asset(
        key=names.site_key(domain.name),
        deps=[
            names.asset_key("ops", "health"),
            *(
                dg.AssetDep(
                    names.asset_key("gold", mart.name),
                    partition_mapping=dg.AllPartitionMapping() if mart.is_daily else None,
                )
                for mart in marts
            ),
        ],
        description="The page with the numbers of the marts, as static files in a directory or bucket.",
        group_name=names.group("site"),
        kinds={"javascript"},
        pool=names.pool("site", domain.name),
        output_required=False,
        required_resource_keys={names.resource_key},
    )
    def site(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from medallion_assets.site.place import open_place
        from medallion_assets.site.refresh import refresh_site

        pipeline = resource_of(context, names)
        if not pipeline.has_site:
            context.log.info("MEDALLION_SITE is not set: no site is written.")
            return
        with translate_errors(context), pipeline.lake() as lake:
            settings = pipeline.settings()
            written = refresh_site(
                lake,
                pipeline.bronze_store(),
                domain,
                marts,
                open_place(str(settings.site), region=settings.region),
                dagster_url=settings.dagster_url,
                now=utc_now(),
            )
        yield dg.MaterializeResult(
            metadata={"version": written.version, "new_numbers": written.is_new, "removed_documents": written.removed}
        )

    return site

"""Figures of data, samples and fitted flows: each function returns a matplotlib Figure, and `save` writes it.

A name is imported when it is first used: matplotlib takes a second, and who draws nothing should not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .beside import images_beside, tables_beside
    from .board import reconstructions, strips, temperatures
    from .contact import contact_sheet, to_bytes
    from .curves import learning_curves, likelihoods, score_dots
    from .dependence import mixed_pairs
    from .gallery import Exhibit, exhibition, wall
    from .gaps import missingness
    from .histograms import conditionals, marginals
    from .image_pictures import image_figures
    from .images import extremes, sheets
    from .latent_pictures import latent_figures
    from .picture import Picture, training_pictures
    from .pixel_pictures import bits_beside, pixel_bits
    from .plane import densities, profile, warp
    from .ranks import coverage, rank_histograms
    from .sound_pictures import sound_figures, waveforms
    from .style import pixels_of, save
    from .table_pictures import table_figures
    from .tables import pairs, telling, uniformity

__all__ = [
    "Exhibit",
    "Picture",
    "bits_beside",
    "conditionals",
    "contact_sheet",
    "coverage",
    "densities",
    "exhibition",
    "extremes",
    "image_figures",
    "images_beside",
    "latent_figures",
    "learning_curves",
    "likelihoods",
    "marginals",
    "missingness",
    "mixed_pairs",
    "pairs",
    "pixel_bits",
    "profile",
    "rank_histograms",
    "reconstructions",
    "pixels_of",
    "save",
    "score_dots",
    "sheets",
    "sound_figures",
    "strips",
    "table_figures",
    "tables_beside",
    "telling",
    "temperatures",
    "to_bytes",
    "training_pictures",
    "uniformity",
    "wall",
    "warp",
    "waveforms",
]

# file -> what it gives; the same list as above, for the interpreter
__getattr__ = names_of(
    __name__,
    {
        "ranks": "coverage rank_histograms",
        "curves": "learning_curves likelihoods score_dots",
        "gallery": "Exhibit exhibition wall",
        "images": "extremes sheets",
        "image_pictures": "image_figures",
        "gaps": "missingness",
        "latent_pictures": "latent_figures",
        "dependence": "mixed_pairs",
        "picture": "Picture training_pictures",
        "table_pictures": "table_figures",
        "contact": "contact_sheet to_bytes",
        "pixel_pictures": "bits_beside pixel_bits",
        "plane": "densities profile warp",
        "beside": "images_beside tables_beside",
        "board": "reconstructions strips temperatures",
        "sound_pictures": "sound_figures waveforms",
        "style": "pixels_of save",
        "histograms": "conditionals marginals",
        "tables": "pairs telling uniformity",
    },
)

from lymphct.learning.inference_settings import InferenceChoice, InferenceSettings


def test_an_empty_choice_leaves_everything_but_library_and_precision_to_the_bundle() -> None:
    settings = InferenceSettings(mode="box", window_batch=5, mirroring=True)
    assert InferenceChoice(backend=None, precision=None).applied(settings) == settings
    by_default = {"backend": "auto", "precision": "gpu"}
    assert InferenceChoice().applied(settings) == settings.model_copy(update=by_default)


def test_a_choice_replaces_what_it_names() -> None:
    chosen = InferenceChoice(backend="openvino", precision=None, mirroring=False).applied(
        InferenceSettings(mirroring=True)
    )
    assert chosen == InferenceSettings(backend="openvino")

"""The Hub datasets of the catalog. Importing this module registers them.

A revision is the commit of the repository's main branch when it was added here. Where no repository with the
whole set could be confirmed, the set is `local`: its owner puts the files into the mirror by hand.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.datasets.catalog import DatasetCard, register
from benchmark.datasets.hub import LOCAL, HubDataset
from benchmark.datasets.imagenet_names import IMAGENET_NAMES

_KRIZHEVSKY = (
    "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of "
    "Toronto, 2009"
)
_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
_CIFAR_LICENCE = "none stated; the authors ask to be cited"
_IMAGENET_TERMS = "ImageNet terms of access: non-commercial research and education"
_IMAGENET = "O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 115(3), 2015"
_DIGITS = tuple("0123456789")
_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_TINY_IMAGENET = """
n01443537 n01629819 n01641577 n01644900 n01698640 n01742172 n01768244 n01770393 n01774384 n01774750 n01784675
n01855672 n01882714 n01910747 n01917289 n01944390 n01945685 n01950731 n01983481 n01984695 n02002724 n02056570
n02058221 n02074367 n02085620 n02094433 n02099601 n02099712 n02106662 n02113799 n02123045 n02123394 n02124075
n02125311 n02129165 n02132136 n02165456 n02190166 n02206856 n02226429 n02231487 n02233338 n02236044 n02268443
n02279972 n02281406 n02321529 n02364673 n02395406 n02403003 n02410509 n02415577 n02423022 n02437312 n02480495
n02481823 n02486410 n02504458 n02509815 n02666196 n02669723 n02699494 n02730930 n02769748 n02788148 n02791270
n02793495 n02795169 n02802426 n02808440 n02814533 n02814860 n02815834 n02823428 n02837789 n02841315 n02843684
n02883205 n02892201 n02906734 n02909870 n02917067 n02927161 n02948072 n02950826 n02963159 n02977058 n02988304
n02999410 n03014705 n03026506 n03042490 n03085013 n03089624 n03100240 n03126707 n03160309 n03179701 n03201208
n03250847 n03255030 n03355925 n03388043 n03393912 n03400231 n03404251 n03424325 n03444034 n03447447 n03544143
n03584254 n03599486 n03617480 n03637318 n03649909 n03662601 n03670208 n03706229 n03733131 n03763968 n03770439
n03796401 n03804744 n03814639 n03837869 n03838899 n03854065 n03891332 n03902125 n03930313 n03937543 n03970156
n03976657 n03977966 n03980874 n03983396 n03992509 n04008634 n04023962 n04067472 n04070727 n04074963 n04099969
n04118538 n04133789 n04146614 n04149813 n04179913 n04251144 n04254777 n04259630 n04265275 n04275548 n04285008
n04311004 n04328186 n04356056 n04366367 n04371430 n04376876 n04398044 n04399382 n04417672 n04456115 n04465501
n04486054 n04487081 n04501370 n04507155 n04532106 n04532670 n04540053 n04560804 n04562935 n04596742 n04597913
n06596364 n07579787 n07583066 n07614500 n07615774 n07695742 n07711569 n07715103 n07720875 n07734744 n07747607
n07749582 n07753592 n07768694 n07871810 n07873807 n07875152 n07920052 n09193705 n09246464 n09256479 n09332890
n09428293 n12267677
"""
_TEXTURES = """
banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline dotted fibrous
flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted lacelike lined marbled matted meshed
paisley perforated pitted pleated polka-dotted porous potholed scaly smeared spiralled sprinkled stained
stratified striped studded swirly veined waffled woven wrinkled zigzagged
"""

register(
    HubDataset(
        DatasetCard(
            name="cifar10",
            title="CIFAR-10",
            description="32×32 colour photographs of 10 kinds of animals and vehicles; 5,000 training and "
            "1,000 test images a class.",
            source=_CIFAR_HOME,
            licence=_CIFAR_LICENCE,
            citation=_KRIZHEVSKY,
            size=10_000,
            labelled=True,
            class_names=tuple(_CIFAR10.split()),
        ),
        repository="uoft-cs/cifar10",
        revision="0b2714987fa478483af9968de7c934580d0bb9a2",
        splits={"test": 10_000, "train": 50_000},
        balanced=True,
        image_column="img",
        label_column="label",
    )
)
register(
    HubDataset(
        DatasetCard(
            name="cifar100",
            title="CIFAR-100",
            description="32×32 colour photographs of 100 classes; 500 training and 100 test images a class.",
            source=_CIFAR_HOME,
            licence=_CIFAR_LICENCE,
            citation=_KRIZHEVSKY,
            size=10_000,
            labelled=True,
            class_names=tuple(_CIFAR100.split()),
            notes="The labels are the fine ones. The split train_375_per_class is none of the Hub's: 375 of "
            "the 500 training images of each class, for a mirror that has no more. One test image is in "
            "CIFAR-10's test set too, one in its training set.",
        ),
        repository="uoft-cs/cifar100",
        revision="aadb3af77e9048adbea6b47c21a81e47dd092ae5",
        splits={"test": 10_000, "train": 50_000, "train_375_per_class": 37_500},
        local_splits=frozenset({"train_375_per_class"}),
        balanced=True,
        image_column="img",
        label_column="fine_label",
    )
)
register(
    HubDataset(
        DatasetCard(
            name="mnist",
            title="MNIST",
            description="28×28 grey scans of handwritten digits, light strokes on black.",
            source="http://yann.lecun.com/exdb/mnist/",
            licence="sources disagree: MIT (the Hub), CC BY-SA 3.0 (Keras)",
            citation="Y. LeCun, C. Cortes, C. J. C. Burges, MNIST handwritten digit database, 2010",
            size=10_000,
            labelled=True,
            class_names=_DIGITS,
        ),
        repository="ylecun/mnist",
        revision="77f3279092a1c1579b2250db8eafed0ad422088c",
        splits={"test": 10_000, "train": 60_000},
        label_column="label",
    )
)
register(
    HubDataset(
        DatasetCard(
            name="svhn",
            title="Street View House Numbers",
            description="32×32 colour crops of digits on house fronts.",
            source="http://ufldl.stanford.edu/housenumbers/",
            licence="non-commercial use only",
            citation="Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, "
            "NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011",
            size=26_032,
            labelled=True,
            class_names=_DIGITS,
        ),
        repository="ufldl-stanford/svhn",
        revision="f9e1717d73324ebbc1ece84267ccd80d0aca0690",
        config="cropped_digits",
        splits={"test": 26_032, "train": 73_257},
        label_column="label",
    )
)
register(
    HubDataset(
        DatasetCard(
            name="tiny_imagenet",
            title="Tiny ImageNet",
            description="64×64 photographs of 200 ImageNet classes: the validation set.",
            source="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            licence=_IMAGENET_TERMS,
            citation="Y. Le, X. Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford, 2015",
            size=10_000,
            labelled=True,
            class_names=tuple(_TINY_IMAGENET.split()),
            part_of=("imagenet1k",),
            notes="The complete validation set. Classes have the names that they have in WordNet. OpenOOD "
            "v1.5 leaves out images that show classes of the ID set: of 10,000 it keeps 7,793 for CIFAR-10 "
            "and 6,526 for CIFAR-100.",
        ),
        repository="zh-plus/tiny-imagenet",
        revision="5a77092c28e51558c5586e9c5eb71a7e17a5e43f",
        splits={"valid": 10_000},
        label_column="label",
        balanced=True,
    )
)
register(
    HubDataset(
        DatasetCard(
            name="textures",
            title="Describable Textures (DTD)",
            description="Photographs of 47 kinds of textures, 120 each, 300 to 640 pixels wide.",
            source="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
            licence="for research, says the homepage; the repository states none",
            citation="M. Cimpoi et al., Describing Textures in the Wild, CVPR 2014",
            size=1_880,
            labelled=True,
            class_names=tuple(_TEXTURES.split()),
            notes="The repository's train split is the authors' train and val together. OpenOOD tests on "
            "all 5,640 images, or on the 5,160 that show no ImageNet class; a split here has fewer.",
        ),
        repository="tanganke/dtd",
        revision="d2afa97d9f335b1a6b3b09c637aef667f98f966e",
        splits={"test": 1_880, "train": 3_760},
        balanced=True,
        label_column="label",
    )
)
register(
    HubDataset(
        DatasetCard(
            name="imagenet1k",
            title="ImageNet-1K",
            description="Photographs of 1,000 classes (ILSVRC 2012), of many sizes.",
            source="https://image-net.org",
            licence=_IMAGENET_TERMS,
            citation=_IMAGENET,
            size=50_000,
            labelled=True,
            class_names=IMAGENET_NAMES,
            notes="Gated: accept the terms on https://huggingface.co/datasets/ILSVRC/imagenet-1k first.",
        ),
        repository="ILSVRC/imagenet-1k",
        revision="49e2ee26f3810fb5a7536bbf732a7b07389a47b5",
        splits={"validation": 50_000, "train": 1_281_167},
        label_column="label",
    )
)


def _local(
    name: str,
    title: str,
    splits: Mapping[str, int],
    *,
    description: str,
    source: str,
    licence: str,
    citation: str,
    notes: str = "The size is OpenOOD v1.5's.",
) -> None:
    """Register a dataset without classes whose files are put into the mirror by hand."""
    size = next(iter(splits.values()))
    card = DatasetCard(name, title, description, source, licence, citation, size, notes=notes)
    register(HubDataset(card, repository=f"{LOCAL}{name}", splits=splits))


_local(
    "places365",
    "Places365",
    {"validation": 36_500},
    description="Photographs of 365 kinds of scenes: the validation set.",
    source="http://places2.csail.mit.edu",
    licence="non-commercial research and education",
    citation="B. Zhou et al., Places: A 10 Million Image Database for Scene Recognition, TPAMI 40(6), 2018",
    notes="The complete validation set. OpenOOD leaves out images whose scenes show CIFAR's classes.",
)
_local(
    "ssb_hard",
    "Semantic Shift Benchmark, hard",
    {"test": 49_000},
    description="Photographs of 980 ImageNet-21K classes that resemble some of ImageNet-1K's.",
    source="https://github.com/sgvaze/SSB (OpenOOD's copy: https://github.com/Jingkang50/OpenOOD)",
    licence=_IMAGENET_TERMS,
    citation="S. Vaze et al., Open-Set Recognition: A Good Closed-Set Classifier is All You Need, ICLR 2022",
    notes="Not the Hub's detectors/ssb_hard-ood, which has 208 images.",
)
_local(
    "ninco",
    "NINCO: no ImageNet class objects",
    {"test": 5_879},
    description="Photographs of 64 classes, each looked at to hold no object of ImageNet-1K.",
    source="https://github.com/j-cb/NINCO (OpenOOD's copy: https://github.com/Jingkang50/OpenOOD)",
    licence="MIT",
    citation="J. Bitterwolf, M. Müller, M. Hein, In or Out? Fixing ImageNet Out-of-Distribution Detection "
    "Evaluation, ICML 2023",
    notes="The folder NINCO_OOD_classes only, not the unit tests nor the cleaned sets beside it.",
)
_local(
    "inaturalist",
    "iNaturalist (plants that ImageNet-1K has not)",
    {"test": 10_000},
    description="Photographs of plants of 110 species that are no class of ImageNet-1K.",
    source="https://github.com/deeplearning-wisc/large_scale_ood (OpenOOD's copy: "
    "https://github.com/Jingkang50/OpenOOD)",
    licence="each photographer's own, most of them Creative Commons without commercial use",
    citation="R. Huang, Y. Li, MOS: Towards Scaling Out-of-Distribution Detection for Large Semantic Space, "
    "CVPR 2021; G. Van Horn et al., The iNaturalist Species Classification and Detection Dataset, CVPR 2018",
)
_local(
    "openimage_o",
    "OpenImage-O",
    {"test": 15_869, "validation": 1_763},
    description="Photographs of Open Images' test set, each looked at to hold no class of ImageNet-1K.",
    source="https://github.com/haoqiwang/vim (OpenOOD's copy: https://github.com/Jingkang50/OpenOOD)",
    licence="CC BY 2.0 (Open Images)",
    citation="H. Wang et al., ViM: Out-of-Distribution with Virtual-logit Matching, CVPR 2022",
    notes="OpenOOD v1.5's parts of the 17,632 images: validation outliers and test set.",
)
